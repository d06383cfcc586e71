"""Many trainings as one program: the loop, vmapped over who is there, the initial parameters and the batches."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from certunl.base import Key, Params, Progress, outputs_first, outputs_last, stacked
from certunl.errors import BadInput, Diverged, whole
from certunl.training.loop import step
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule, draw
from certunl.training.workers import Device, chunk_size, spread

__all__ = ["ensemble", "retrainings", "seeds"]


def retrainings(
    run: Run, requests: Sequence[Any], *, chunk: int | None = None, progress: Progress | None = None
) -> Params:
    """What `Retrain` gives for each of `requests` (lists of ids), stacked: a pytree like params, leading axis k.

    >>> import jax, certunl as cu
    >>> data = cu.datasets.load("wine")
    >>> problem = cu.classification(cu.models.Linear(classes=3), data.train)
    >>> run = cu.train(problem, cu.Recipe(epochs=1), jax.random.key(0))
    >>> retrainings(run, [[0], [1], [2, 3]])["Dense_0"]["bias"].shape  # two leave-one-out models, one without two
    (3, 3)
    """
    if not len(requests):
        raise BadInput("there is no request to retrain without")
    present = np.stack([np.asarray(run.retained(run.check(request))) for request in requests])
    return ensemble(run, present, chunk=chunk, progress=progress)


def ensemble(
    run: Run,
    present: Any,
    *,
    starts: Params | None = None,
    schedules: Schedule | None = None,
    chunk: int | None = None,
    progress: Progress | None = None,
) -> Params:
    """Trains m models by the run's recipe, model i on the examples `present[i]` (bool[m, n]) that the run has not
    forgotten; a pytree like params with leading axis m.

    Without more, all begin at the run's start and go along its schedule: exact retrainings. `starts` are initial
    parameters and `schedules` batches of their own, with leading axis m (see `seeds`). Each step's batch is shared
    where the schedule is, and an absent example has weight 0 in it; where the losses look at a whole batch, every model
    gets batches of its own, somebody present in the place of who is not. `chunk` models are trained together on each
    core or device (default: as many as its cache or memory holds).
    Raises: BadInput for shapes that disagree; Diverged, naming the model, where one left the finite numbers.
    """
    present = np.asarray(present)
    if present.dtype != bool or present.ndim != 2 or present.shape[1] != len(run.present) or not len(present):
        raise BadInput(f"present is bool[m, {len(run.present)}], got {present.dtype}{list(present.shape)}")
    for name, given in (("starts", starts), ("schedules", schedules)):
        if any(np.shape(leaf)[:1] != present.shape[:1] for leaf in jax.tree.leaves(given)):
            raise BadInput(f"{name} must have the leading axis {len(present)} of present")
    present = present & np.asarray(run.present)
    if not present.any(axis=1).all():
        raise BadInput(f"model {np.flatnonzero(~present.any(axis=1))[0]} has nobody to be trained on")
    whole("", chunk=chunk)
    apart = schedules is not None or _coupled(run)
    size = min(len(present), chunk or chunk_size(run, len(present)))
    parts = [np.minimum(np.arange(i, i + size), len(present) - 1) for i in range(0, len(present), size)]
    copies = {}

    def work(part: np.ndarray, device: Device) -> tuple[Params, jax.Array]:
        if device not in copies:
            copies[device] = jax.device_put(run, device)
        given = jax.device_put(jax.tree.map(lambda a: jnp.asarray(a)[part], (present, starts, schedules)), device)
        found = _together(copies[device], *given, apart=apart)
        if not apart and not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(found)):
            found = _together(copies[device], *given, apart=True)  # who is absent may have had an infinite loss
        return found

    home, blocks = jax.tree.leaves(run.params)[0].devices().pop(), []
    for part, (params, risks) in zip(parts, spread(work, parts), strict=True):
        kept = len(np.unique(part))
        _check_finite(params, np.asarray(risks), part[:kept], run.recipe)
        blocks.append(jax.device_put(jax.tree.map(lambda leaf, k=kept: leaf[:k], params), home))
        if progress is not None:
            progress(int(part[kept - 1]) + 1, len(present))
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *blocks)


def seeds(run: Run, keys: Sequence[Key]) -> tuple[Params, Schedule]:
    """(initial parameters, schedules), stacked: what `train` draws from each of `keys` for the run's recipe."""
    if not len(keys):
        raise BadInput("there is no key to draw initial parameters and batches from")
    pairs = [jax.random.split(key) for key in keys]
    starts = [run.problem.init(start) for start, _ in pairs]
    drawn = [draw(batches, run.recipe, len(run.problem.data)) for _, batches in pairs]
    width = max(schedule.indices.shape[1] for schedule in drawn)

    def wide(leaf: jax.Array) -> jax.Array:
        return jnp.pad(leaf, [(0, 0), (0, width - leaf.shape[1])]) if leaf.ndim == 2 else leaf

    schedules = [jax.tree.map(wide, schedule) for schedule in drawn]
    return stacked(starts), stacked(schedules)


@partial(jax.jit, static_argnames="apart")
def _together(
    run: Run, present: jax.Array, starts: Params | None, schedules: Schedule | None, apart: bool
) -> tuple[Params, jax.Array]:
    """(parameters, risks f[t, m]); `apart`: every model has batches of its own."""
    models = len(present)
    batches = run.schedule if schedules is None else schedules
    if apart:
        axis = 0 if schedules is not None else None
        batches = jax.vmap(lambda s, here: s.masked(~here[s.indices]), in_axes=(axis, 0))(batches, present)
        batches = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), batches)  # steps first

    def one(state: Any, row: Schedule) -> tuple[Any, jax.Array]:
        state = jax.tree.map(outputs_last, state)
        state, risk = step(run.problem, run.recipe, state, row, jnp.ones_like(row.weights))
        return jax.tree.map(outputs_first, state), risk

    def body(states: Any, row: Schedule) -> tuple[Any, jax.Array]:
        if apart:
            return jax.vmap(one)(states, row)
        weights = jnp.where(present[:, row.indices], row.weights, 0)
        return jax.vmap(one, in_axes=(0, replace(_SHARED, weights=0)))(states, replace(row, weights=weights))

    if starts is None:
        starts = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (models, *leaf.shape)), run.start)
    states = jax.tree.map(lambda leaf: outputs_first(leaf, 1), jax.vmap(run.recipe.begin)(starts))
    (params, _), risks = jax.lax.scan(body, states, batches)
    return jax.tree.map(lambda leaf: outputs_last(leaf, 1), params), risks


_SHARED: Any = Schedule(indices=None, weights=None, rates=None, divisors=None)


def _coupled(run: Run) -> bool:
    """Whether an example's loss depends on who is in the batch with it: some alone are held against all together, at
    the start, at the end, and off both (at zero many a coupling cannot be seen)."""
    few, data = np.arange(min(8, len(run.problem.data))), run.problem.data
    noise = optax.tree.random_like(jax.random.key(0), run.params)
    for params in (run.start, run.params, jax.tree.map(lambda p, z: p + 0.5 * z, run.params, noise)):
        together = np.asarray(run.problem.losses(params, data[few]))
        alone = [np.asarray(run.problem.losses(params, data[np.full_like(few, i)]))[0] for i in few[:3]]
        if not np.allclose(together[:3], alone, rtol=1e-4, atol=1e-6, equal_nan=True):
            return True
    return False


def _check_finite(params: Params, risks: np.ndarray, models: np.ndarray, recipe: Recipe) -> None:
    finite = [np.isfinite(risks.T), *(np.isfinite(np.asarray(leaf)) for leaf in jax.tree.leaves(params))]
    wrong = models[[not all(a[i].all() for a in finite) for i in range(len(models))]]
    if len(wrong):
        raise Diverged(
            f"{len(wrong)} of {len(models)} models trained together left the finite numbers (first: model {wrong[0]}, "
            f"learning_rate {recipe.learning_rate}); lower the learning rate or set clip_norm"
        )
