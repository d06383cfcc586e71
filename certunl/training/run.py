"""A trained model and everything that made it."""

import logging
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from optax.projections import projection_l2_ball

from certunl.base import Key, Params, Progress
from certunl.errors import BadInput
from certunl.training.loop import check_finite, follow, replay
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.schedule import Schedule, draw

__all__ = ["Run", "continuation", "fit", "retrained", "train"]


@struct.dataclass
class Run:
    """A trained model and everything that made it. `start` and `schedule` are the whole trajectory; `params` the
    un-noised parameters now; `present bool[n]` who has not been forgotten."""

    problem: Problem
    recipe: Recipe = struct.field(pytree_node=False)
    start: Params
    schedule: Schedule
    params: Params
    present: jax.Array

    def minus(self, request: Any, params: Params) -> "Run":
        """The run after `request` was forgotten with result `params`: what the next request starts from."""
        return replace(self, params=params, present=self.retained(self.check(request)))

    def retained(self, request: np.ndarray) -> jax.Array:
        """bool[n]: present, and not in `request` (as `check` returns it)."""
        present = np.array(self.present)  # on the host: a program for every size of request would be compiled
        present[request] = False
        return jnp.asarray(present)

    def check(self, request: Any) -> np.ndarray:
        """`request` as i32[k], sorted and unique.

        Raises: BadInput for an empty request, ids outside the data or already forgotten, and a request of everything.
        """
        ids = np.atleast_1d(np.asarray(request))
        if ids.size == 0:
            raise BadInput("the request is empty; name at least one example to forget")
        if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
            raise BadInput(f"a request is a list of example ids (whole numbers), got {ids.dtype}{list(ids.shape)}")
        ids, present = np.unique(ids), np.asarray(self.present)
        if ids[0] < 0 or ids[-1] >= len(present):
            wrong = ids[(ids < 0) | (ids >= len(present))]
            raise BadInput(f"the request names example {wrong[0]}, the data have ids 0 to {len(present) - 1}")
        if not present[ids].all():
            raise BadInput(f"example {ids[~present[ids]][0]} is already forgotten; leave it out of the request")
        if len(ids) == present.sum():
            raise BadInput("the request names every remaining example; there is nothing to retain: delete the model")
        return ids.astype(np.int32)


def fit(
    problem: Problem, recipe: Recipe, start: Params, schedule: Schedule, *, progress: Progress | None = None
) -> Run:
    """Trains from `start` along `schedule`; step sizes are the schedule's rates.

    Raises: BadInput for unusable data, losses or schedule; Diverged when the loss leaves the finite numbers.
    """
    problem.data.check()
    problem = replace(problem, data=jax.tree.map(jnp.asarray, problem.data))
    schedule = jax.tree.map(jnp.asarray, schedule)
    start = jax.tree.map(jnp.asarray, start)
    problem.check(start)
    schedule.check(len(problem.data))
    if recipe.radius is not None and (norm := float(optax.tree.norm(start))) > recipe.radius:
        logging.getLogger("certunl").warning(
            "the initial parameters have norm %.4g, outside the ball of radius %g: the first step will shrink them",
            norm,
            recipe.radius,
        )
    params, risks = follow(problem, recipe, start, schedule, progress)
    check_finite(risks, params, recipe)
    present = jnp.ones(len(problem.data), bool)
    return Run(problem=problem, recipe=recipe, start=start, schedule=schedule, params=params, present=present)


def train(problem: Problem, recipe: Recipe, key: Key, *, progress: Progress | None = None) -> Run:
    """Draws initial parameters and a schedule from `key`, then fits."""
    start_key, schedule_key = jax.random.split(key)
    return fit(
        problem,
        recipe,
        problem.init(start_key),
        draw(schedule_key, recipe, len(problem.data)),
        progress=progress,
    )


def continuation(
    run: Run, rows: np.ndarray, epochs: int, learning_rate: float | None, key: Key
) -> tuple[Recipe, Schedule]:
    """The run's recipe at a constant rate (default: that of its last step), and a schedule of `epochs` on `rows`."""
    rate = float(run.schedule.rates[-1]) if learning_rate is None else learning_rate
    recipe = replace(run.recipe, epochs=epochs, learning_rate=rate, decay=1.0)
    schedule = draw(key, recipe, len(rows))
    return recipe, replace(schedule, indices=jnp.asarray(rows, "int32")[schedule.indices])


def retrained(run: Run, request: Any) -> Params:
    """The parameters of true retraining without `request` and all that was forgotten before, on the ball where there is
    one. Raises: BadInput as `Run.check`, Diverged when the loss leaves the finite numbers."""
    params, risks = replay(run, run.retained(run.check(request)))
    check_finite(risks, params, run.recipe)
    return params if run.recipe.radius is None else projection_l2_ball(params, run.recipe.radius)
