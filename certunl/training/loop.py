"""The one training loop, a scan of one step along a schedule. Retraining and replay use it, rows differentiate it."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from optax.projections import projection_l2_ball

from certunl.base import Params
from certunl.errors import BadInput, Diverged
from certunl.training.direction import foreign
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.schedule import Schedule

if TYPE_CHECKING:
    from certunl.training.run import Run


__all__ = ["advanced", "begin", "check_finite", "follow", "operations", "replay", "step"]


def begin(problem: Problem, recipe: Recipe, start: Params) -> Any:
    """The loop's state before the first step: the parameters and the optimizer's memory, of each shard its own."""
    return jax.vmap(recipe.begin)(start) if problem.sharded else recipe.begin(start)


def step(problem: Problem, recipe: Recipe, state: Any, slot: Schedule, presence: jax.Array) -> tuple[Any, jax.Array]:
    """(state, one row of the schedule, presence f[b]) -> (state after the step, the batch's risk).

    `presence` multiplies the weights, and for `denominator="retained"` the divisor counts it. It is all ones in
    training. Hessian-free rows are derivatives of the step with respect to it.
    """
    if problem.randomness is not None and slot.numbers is None:
        raise BadInput("random losses need the number of each step; use problem.numbered(schedule)")
    if problem.sharded:
        return _step_of_shards(problem.one, recipe, state, slot, presence)
    if recipe.noise:
        raise BadInput(
            "training with noise cannot be replayed, because the secret of its noise is gone; use NoisyRetrain, or a "
            "recipe without noise"
        )
    params, _ = state
    divisor = slot.divisors
    if recipe.denominator == "retained":
        divisor = jnp.sum(jnp.where(slot.weights != 0, presence, 0))
    # An empty batch has divisor 0: its share is 0 and only weight decay acts. The inner `where` keeps the derivative
    # free of NaN, because JAX differentiates both branches of the outer one.
    share = jnp.where(divisor != 0, 1 / jnp.where(divisor != 0, divisor, 1), 0)
    weights = slot.weights * presence * share
    risk, grads = jax.value_and_grad(problem.risk)(params, problem.batch(slot.indices, slot.numbers), weights)
    return advanced(recipe, state, grads, slot.rates), risk


def advanced(recipe: Recipe, state: Any, grads: Params, rate: jax.Array) -> Any:
    """The state after a step along the mean gradient `grads` of a batch."""
    params, memory = state
    direction, sign = recipe.direction(params)
    if recipe.clip_norm is not None:
        grads = projection_l2_ball(grads, recipe.clip_norm)
    if recipe.weight_decay:
        grads = jax.tree.map(lambda g, p: g + recipe.weight_decay * p, grads, params)
    with foreign():
        updates, memory = direction.update(grads, memory, params)
    params = jax.tree.map(lambda p, u: p + (sign * rate).astype(p.dtype) * u, params, updates)
    if recipe.radius is not None:
        params = projection_l2_ball(params, recipe.radius)
    return params, memory


def _step_of_shards(
    problem: Problem, recipe: Recipe, states: Any, slot: Schedule, presence: jax.Array
) -> tuple[Any, jax.Array]:
    """A step of each shard's model on the slots of its shard, and the mean of the risks."""
    shards = len(slot.divisors)
    indices, weights, presence = (a.reshape(shards, -1) for a in (slot.indices, slot.weights, presence))
    own = replace(slot, indices=indices, weights=weights)
    alike = Schedule(indices=0, weights=0, rates=None, divisors=0)

    def one(state: Any, slot: Schedule, presence: jax.Array) -> tuple[Any, jax.Array]:
        return step(problem, recipe, state, slot, presence)

    states, risks = jax.vmap(one, in_axes=(0, alike, 0))(states, own, presence)
    return states, jnp.mean(risks)


@partial(jax.jit, static_argnames=("recipe",))
def follow(problem: Problem, recipe: Recipe, start: Params, schedule: Schedule) -> tuple[Params, jax.Array]:
    """(final parameters, risk of each batch before its step f[t]): training from `start`, as one XLA program."""

    def body(state: Any, row: Schedule) -> tuple[Any, jax.Array]:
        return step(problem, recipe, state, row, jnp.ones_like(row.weights))

    (params, _), risks = jax.lax.scan(body, begin(problem, recipe, start), problem.numbered(schedule))
    return params, risks


@jax.jit
def replay(run: "Run", retained: jax.Array) -> tuple[Params, jax.Array]:
    """(final parameters, risk of each batch f[t]): a replay of the run's schedule from its start, with only the
    examples that `retained bool[n]` marks. Raises: BadInput for a run without a history."""
    run.need_history("a replay of training")
    schedule = run.schedule.masked(~retained[run.schedule.indices])
    return follow(run.problem, run.recipe, run.start, schedule)


def operations(run: "Run") -> float:
    """The floating-point operations of training: XLA's count for one step before optimisation, times the steps.

    They are infinite on a backend that does not count.
    """
    one = jax.tree.map(lambda a: a[:1], run.schedule)
    costs: Any = follow.lower(run.problem, run.recipe, run.start, one).cost_analysis() or {}
    return len(run.schedule) * float(costs.get("flops", np.inf))


def check_finite(risks: jax.Array, params: Params, recipe: Recipe) -> None:
    """Raises Diverged if a risk or parameter is not finite; the message names the first step with such a risk."""
    bad = np.flatnonzero(~np.isfinite(np.asarray(risks)))
    if len(bad) or not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        when = f"at step {bad[0] + 1}" if len(bad) else "after the last step"
        raise Diverged(
            f"the loss became NaN or infinite {when} of {len(risks)} (first loss {float(risks[0]):.4g}, "
            f"learning_rate {recipe.learning_rate}); lower the learning rate or set clip_norm"
        )
