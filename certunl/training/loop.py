"""The one training loop: a scan of one step along a schedule. Every way to forget is this loop, or its derivative."""

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from optax.projections import projection_l2_ball

from certunl.base import Params, Progress
from certunl.errors import Diverged
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.schedule import Schedule

if TYPE_CHECKING:
    from certunl.training.run import Run


__all__ = ["check_finite", "follow", "replay", "step"]


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


def check_finite(risks: jax.Array, params: Params, recipe: Recipe) -> None:
    """Raises Diverged with the first step whose risk was not finite."""
    bad = np.flatnonzero(~np.isfinite(np.asarray(risks)))
    if len(bad) or not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        when = f"at step {bad[0] + 1}" if len(bad) else "after the last step"
        raise Diverged(
            f"the loss became NaN or infinite {when} of {len(risks)} (first loss {float(risks[0]):.4g}, "
            f"learning_rate {recipe.learning_rate}); lower the learning rate or set clip_norm"
        )
