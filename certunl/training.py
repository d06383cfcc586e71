"""The one training loop: a scan of one step along a schedule. Every way to forget is this loop, or its derivative."""

import logging
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from optax.projections import projection_l2_ball

from certunl.problem import Problem
from certunl.recipe import Recipe
from certunl.schedule import Schedule, draw
from certunl.typing import BadInput, Diverged, Key, Params, Progress

__all__ = ["Run", "check_finite", "fit", "follow", "replay", "retrained", "step", "train"]


def step(problem: Problem, recipe: Recipe, state: Any, slot: Schedule, presence: jax.Array) -> tuple[Any, jax.Array]:
    """(state, one row of the schedule, presence f[b]) -> (state after the step, the batch's risk).

    `presence` multiplies the weights and counts who is there: all ones in training; forgetting is its derivative.
    """
    params, memory = state
    direction, sign = recipe.direction()
    divisor = slot.divisors
    if recipe.denominator == "retained":
        divisor = jnp.sum(presence * (slot.weights != 0))
    share = jnp.where(divisor != 0, 1 / jnp.where(divisor != 0, divisor, 1), 0)  # an emptied batch only decays
    weights = slot.weights * presence * share
    risk, grads = jax.value_and_grad(problem.risk)(params, problem.data[slot.indices], weights)
    if recipe.clip_norm is not None:
        grads = projection_l2_ball(grads, recipe.clip_norm)
    if recipe.weight_decay:
        grads = jax.tree.map(lambda g, p: g + recipe.weight_decay * p, grads, params)
    updates, memory = direction.update(grads, memory, params)
    params = jax.tree.map(lambda p, u: p + (sign * slot.rates).astype(p.dtype) * u, params, updates)
    if recipe.radius is not None:
        params = projection_l2_ball(params, recipe.radius)
    return (params, memory), risk


@partial(jax.jit, static_argnames=("recipe", "progress"))
def follow(
    problem: Problem, recipe: Recipe, start: Params, schedule: Schedule, progress: Progress | None = None
) -> tuple[Params, jax.Array]:
    """The loop: (final parameters, risk of each batch before its step f[t]), one XLA program."""
    total = len(schedule)
    every = max(1, total // 100)

    def body(state: Any, slot: tuple[jax.Array, Schedule]) -> tuple[Any, jax.Array]:
        t, row = slot
        if progress is not None:
            tell = partial(jax.debug.callback, lambda t, hear=progress: hear(int(t) + 1, total), t)
            jax.lax.cond((t + 1) % every == 0, tell, lambda: None)
        return step(problem, recipe, state, row, jnp.ones_like(row.weights))

    (params, _), risks = jax.lax.scan(body, recipe.begin(start), (jnp.arange(total), schedule))
    return params, risks


@jax.jit
def replay(run: "Run", retained: jax.Array) -> tuple[Params, jax.Array]:
    """The loop of a run once more, from its start, along its schedule without the examples that are not `retained
    bool[n]`: (final parameters, risk of each batch f[t])."""
    schedule = run.schedule.masked(~retained[run.schedule.indices])
    return follow(run.problem, run.recipe, run.start, schedule)


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


def check_finite(risks: jax.Array, params: Params, recipe: Recipe) -> None:
    """Raises Diverged with the first step whose risk was not finite."""
    bad = np.flatnonzero(~np.isfinite(np.asarray(risks)))
    if len(bad) or not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        when = f"at step {bad[0] + 1}" if len(bad) else "after the last step"
        raise Diverged(
            f"the loss became NaN or infinite {when} of {len(risks)} (first loss {float(risks[0]):.4g}, "
            f"learning_rate {recipe.learning_rate}); lower the learning rate or set clip_norm"
        )


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


def retrained(run: Run, request: Any) -> Params:
    """The parameters of true retraining without `request` and all that was forgotten before, on the ball where there is
    one. Raises: BadInput as `Run.check`, Diverged when the loss leaves the finite numbers."""
    params, risks = replay(run, run.retained(run.check(request)))
    check_finite(risks, params, run.recipe)
    return params if run.recipe.radius is None else projection_l2_ball(params, run.recipe.radius)
