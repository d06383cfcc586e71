"""The training run of an audit with canaries, and the scores by which an attacker guesses who is in."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from certunl.base import Key, Params
from certunl.errors import BadInput
from certunl.training.dataset import Dataset, end_to_end, rowwise
from certunl.training.drawing import schedule_of
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule
from certunl.training.supervised import wrong_labels
from certunl.training.training import fit, retrained

__all__ = ["gains", "pulls", "trained_with", "with_canaries"]

_QUIET = 2.0**-10
"""The noise of the attacker's own models, as a multiple of that of the run."""


def with_canaries(run: Run, extra: Dataset, key: Key, mislabelled: float) -> tuple[Problem, np.ndarray]:
    """The problem on the run's present data followed by all canaries, and the ids of the canaries."""
    data = run.problem.data[np.flatnonzero(run.present)]
    extra = run.problem.admit(extra, "the canaries")
    y, targets = np.asarray(extra.y), np.asarray(data.y)
    if not 0 <= mislabelled <= 1:
        raise BadInput(f"mislabelled must be a share between 0 and 1, got {mislabelled!r}")
    if wrong := round(mislabelled * len(extra)):
        if run.problem.kind not in ("classification", "binary"):
            raise BadInput("only classes can be wrong: set mislabelled=0 for canaries with other targets")
        pick, shift = jax.random.split(key)
        rows = np.asarray(jax.random.permutation(pick, len(extra)))[:wrong]
        y = y.copy()
        y[rows] = wrong_labels(shift, jnp.asarray(y[rows]), int(max(targets.max(), y.max())) + 1)
    ids, owners = np.arange(len(data), len(data) + len(extra), dtype=np.int32), None
    if data.owners is not None:  # each canary gets an owner of its own
        first = int(np.max(np.asarray(data.owners))) + 1
        owners = jnp.concatenate([data.owners, jnp.arange(first, first + len(extra), dtype=data.owners.dtype)])
    both = replace(
        data,
        x=rowwise(end_to_end, data.x, extra.x),
        y=end_to_end(data.y, y),
        owners=owners,
        unchecked=tuple(dict.fromkeys((*data.unchecked, *extra.unchecked))),
    )
    return replace(run.problem, data=both), ids


def trained_with(problem: Problem, run: Run, absent: np.ndarray, key: Key) -> Run:
    """A run trained with weight 0 for `absent`; its `schedule` is the one without this mask."""
    start_key, schedule_key = jax.random.split(key)
    schedule = schedule_of(problem, run.recipe, schedule_key)
    present = jnp.asarray(~np.isin(np.arange(len(problem.data)), absent))
    masked = schedule.masked(~present[schedule.indices])
    trained = _fitted(problem, run.recipe, problem.init(start_key), masked, key)
    return replace(trained, present=present, schedule=schedule)


def gains(run: Run, request: np.ndarray, ids: np.ndarray, released: Params, key: Key) -> np.ndarray:
    """f[m]: the loss of each canary under a model trained without `request`, minus its loss under the release.

    That model has noise of its own if the recipe has some.
    """
    if not run.recipe.noise:
        without = retrained(run, request)
    else:
        schedule = run.schedule.masked(~run.retained(request)[run.schedule.indices])
        without = _fitted(run.problem, run.recipe, run.start, schedule, key).params
    return _losses(run.problem, without, ids) - _losses(run.problem, released, ids)


def pulls(run: Run, ids: np.ndarray, released: Params, key: Key) -> np.ndarray:
    """f[m]: how far each canary has pulled the release along its own gradient, −g_i·(released − middle)/‖g_i‖.

    The attacker trains one model with all canaries and one with none, from the same start on the same schedule, with
    little noise. The middle is their mean, and g_i is the gradient of canary i there. So the common effect of all
    canaries is left out to first order. Where gradients are orthogonal, the score is sufficient for the coin.
    """
    quiet = replace(run.recipe, noise=_QUIET * run.recipe.noise)
    pair = [
        _fitted(run.problem, quiet, run.start, schedule, own).params
        for schedule, own in zip((run.schedule, run.schedule.without(ids)), jax.random.split(key), strict=True)
    ]
    return np.asarray(_pulls(run.problem, *pair, released, jnp.asarray(ids)), np.float64)


def _fitted(problem: Problem, recipe: Recipe, start: Params, schedule: Schedule, key: Key) -> Run:
    """The run that training gives, whose noise is drawn from `key`, because nothing here is released."""
    return fit(problem, recipe, start, schedule, noise_key=key if recipe.noise else None)


@jax.jit
def _pulls(problem: Problem, first: Params, second: Params, released: Params, ids: jax.Array) -> jax.Array:
    middle = jax.tree.map(lambda a, b: (a + b) / 2, first, second)
    moved = jax.tree.map(lambda a, b: a - b, released, middle)

    def one(i: jax.Array) -> jax.Array:
        gradient = jax.grad(problem.risk)(middle, problem.batch(i[None], jnp.asarray(0)), jnp.ones(1))
        norm: Any = optax.tree.norm(gradient)
        along: Any = optax.tree.vdot(gradient, moved)
        return jnp.where(norm > 0, -along / jnp.where(norm > 0, norm, 1), 0)

    return jax.lax.map(one, ids)


def _losses(problem: Problem, params: Params, ids: np.ndarray) -> np.ndarray:
    scores: Any = problem.scores(params, problem.data[ids])
    return np.asarray(scores.losses, np.float64)
