"""Many training runs as one program: the loop, vmapped over presence masks, initial parameters and batches."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key, Params, Progress, digest, outputs_first, outputs_last, reporter, stacked
from certunl.errors import BadInput, Diverged, typed_key, whole
from certunl.training.chunks import Keeper, identity
from certunl.training.coupling import coupled
from certunl.training.drawing import schedule_of
from certunl.training.kernels import kernels_first
from certunl.training.loop import begin, step
from certunl.training.mesh import Worker, check_on_device, fetched, home_of
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule
from certunl.training.workers import chunk_size, spread, workers

__all__ = ["ensemble", "retrainings", "seeds"]


def retrainings(
    run: Run, requests: Sequence[Any], *, chunk: int | None = None, progress: Progress | None = None
) -> Params:
    """The retrained parameters for each of k requests, stacked: a pytree like params with leading axis k.

    Args:
        run: the run to retrain.
        requests: k lists of example ids. Model i is retrained without request i, as `Retrain` does it.
        chunk: the number of models in a block, which a core trains, or several devices share; by default as many as
            fit the cache or memory.
        progress: called with (models done, models in all) after each chunk; None reports nothing.

    Raises: the errors of `Run.check` and of `ensemble`.

    >>> import jax, certunl as cu
    >>> data = cu.datasets.load("wine")
    >>> problem = cu.classification(cu.models.Linear(classes=3), data.train)
    >>> run = cu.train(problem, cu.Recipe(epochs=1), jax.random.key(0))
    >>> retrainings(run, [[0], [1], [2, 3]])["Dense_0"]["bias"].shape  # two leave-one-out models, one without two
    (3, 3)
    """
    if not len(requests):
        raise BadInput("there is no request to retrain without; give at least one list of ids")
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
    checkpoints: Keeper | None = None,
) -> Params:
    """The parameters of m models trained by the run's recipe: a pytree like params with leading axis m.

    By default all models begin at the run's start and follow its schedule, so they are exact retrainings. Models on one
    schedule share the batch of each step, and an absent example has weight 0 in it. If the losses depend on the whole
    batch, every model gets batches of its own, in which present examples replace the absent ones.

    Args:
        run: its problem, recipe, start and schedule are used. Examples that it has forgotten stay absent.
        present: bool[m, n], the examples on which each model is trained.
        starts: initial parameters with leading axis m; by default the run's start for every model.
        schedules: a schedule with leading axis m in each array (see `seeds`); by default the run's for every model.
        chunk: the number of models in a block, which a core trains, or several devices share; by default as many as
            fit the cache or memory.
        progress: called with (models done, models in all) after each chunk; None reports nothing.
        checkpoints: `Checkpoints(folder)`, which keeps the models that are done, so that the same call goes on after a
            kill, with the same result to the bit. Default: none.

    Raises: BadInput for shapes that disagree, for a model without examples, and if the checkpoints are those of other
    models; Diverged if the loss or parameters of a
    model become NaN or infinite. The message names the model.
    """
    if schedules is None:
        run.need_history("a replay of training")
    present = np.asarray(present)
    if present.dtype != bool or present.ndim != 2 or present.shape[1] != len(run.present) or not len(present):
        raise BadInput(f"present must be bool[m, {len(run.present)}], got {present.dtype}{list(present.shape)}")
    for name, arrays in (("starts", starts), ("schedules", schedules)):
        if any(np.shape(leaf)[:1] != present.shape[:1] for leaf in jax.tree.leaves(arrays)):
            raise BadInput(f"every array of {name} must have the leading axis of present, {len(present)}")
    present = present & np.asarray(run.present)
    if not present.any(axis=1).all():
        raise BadInput(
            f"model {np.flatnonzero(~present.any(axis=1))[0]} has no example to be trained on; mark at least one "
            "example that is not forgotten"
        )
    whole("", chunk=chunk)
    apart = schedules is not None or coupled(run)
    size = min(len(present), chunk or chunk_size(run, len(present)))
    team = workers(run)
    size = -(-size // len(team[0])) * len(team[0])  # so that the devices of a worker share a block evenly
    copies = {}
    done, blocks = 0, []
    if checkpoints is not None:
        same = identity(run.problem, run.recipe, run.start, run.schedule, begin(run.problem, run.recipe, run.start))
        done, leaves = checkpoints.begin(digest([same, apart], (present, starts, schedules)))
        blocks = [jax.tree.unflatten(jax.tree.structure(run.params), leaves)] if done else []
    # the last part repeats its last model, so that all parts have one shape and one compiled program
    parts = [np.minimum(np.arange(i, i + size), len(present) - 1) for i in range(done, len(present), size)]

    def work(part: np.ndarray, worker: Worker) -> tuple[Params, jax.Array]:
        if worker not in copies:
            check_on_device(run.problem.data, worker)
            copies[worker] = worker.copied(run, "models")
        inputs = jax.tree.map(lambda a: jnp.asarray(a)[part], (present, starts, schedules))
        inputs = worker.split(inputs, "models")
        result = _together(copies[worker], *inputs, apart=apart)
        if not apart and not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(result)):
            # an absent example's infinite loss times its weight 0 is NaN: replace absent examples instead
            result = _together(copies[worker], *inputs, apart=True)
        return result

    home = home_of(run.params)
    for part, result in zip(parts, spread(work, parts, team), strict=True):
        count = len(np.unique(part))
        params, risks = fetched(result, home)
        _check_finite(params, np.asarray(risks), part[:count], run.recipe)
        blocks.append(jax.tree.map(lambda leaf, k=count: leaf[:k], params))
        done = int(part[count - 1]) + 1
        if checkpoints is not None:
            blocks = [jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *blocks)]
            checkpoints.save(done, jax.tree.leaves(blocks[0]))
        if progress is not None:
            reporter(progress)(done, len(present))
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *blocks)


def seeds(run: Run, keys: Sequence[Key]) -> tuple[Params, Schedule]:
    """(initial parameters, schedules) that `train` draws from each of m keys, stacked with leading axis m.

    Args:
        run: its problem and recipe are used.
        keys: m keys of `jax.random.key`, one for each model.
    """
    if not len(keys):
        raise BadInput("there is no key to draw initial parameters and batches from; give at least one")
    for key in keys:
        typed_key(key)
    pairs = [jax.random.split(key) for key in keys]
    starts = [run.problem.init(start) for start, _ in pairs]
    schedules = [schedule_of(run.problem, run.recipe, batches) for _, batches in pairs]
    width = max(schedule.indices.shape[1] for schedule in schedules)  # Poisson batches differ in size
    return stacked(starts), stacked([schedule.padded(width) for schedule in schedules])


@partial(jax.jit, static_argnames="apart")
def _together(
    run: Run, present: jax.Array, starts: Params | None, schedules: Schedule | None, apart: bool
) -> tuple[Params, jax.Array]:
    """(parameters, risks f[t, m]) of m models; with `apart` every model has batches of its own."""
    models, problem = len(present), kernels_first(run.problem)
    batches = run.problem.numbered(run.schedule) if schedules is None else schedules
    if apart:
        axis = 0 if schedules is not None else None
        batches = jax.vmap(lambda s, here: s.masked(~here[s.indices]), in_axes=(axis, 0))(batches, present)
        batches = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), batches)  # steps first

    def one(state: Any, row: Schedule) -> tuple[Any, jax.Array]:
        state = jax.tree.map(outputs_last, state)
        state, risk = step(problem, run.recipe, state, row, jnp.ones_like(row.weights))
        return jax.tree.map(outputs_first, state), risk

    def body(states: Any, row: Schedule) -> tuple[Any, jax.Array]:
        if apart:
            return jax.vmap(one)(states, row)
        weights = jnp.where(present[:, row.indices], row.weights, 0)
        return jax.vmap(one, in_axes=(0, replace(_SHARED, weights=0)))(states, replace(row, weights=weights))

    if starts is None:
        starts = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (models, *leaf.shape)), run.start)
    states = jax.tree.map(lambda leaf: outputs_first(leaf, 1), jax.vmap(partial(begin, problem, run.recipe))(starts))
    (params, _), risks = jax.lax.scan(body, states, batches)
    return jax.tree.map(lambda leaf: outputs_last(leaf, 1), params), risks


_SHARED: Any = Schedule(indices=None, weights=None, rates=None, divisors=None)


def _check_finite(params: Params, risks: np.ndarray, models: np.ndarray, recipe: Recipe) -> None:
    """Raises Diverged if the risks or parameters of one of `models` are not finite."""
    finite = [np.isfinite(risks.T), *(np.isfinite(np.asarray(leaf)) for leaf in jax.tree.leaves(params))]
    wrong = models[[not all(a[i].all() for a in finite) for i in range(len(models))]]
    if len(wrong):
        raise Diverged(
            f"{len(wrong)} of {len(models)} models trained together became NaN or infinite (first: model {wrong[0]}, "
            f"learning_rate {recipe.learning_rate}); lower the learning rate or set clip_norm"
        )
