"""SalUn (Fan et al. 2024): random labels, learnt by the weights alone on which the forgotten loss depends most."""

from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import optax
from optax.projections import projection_l2_ball

from certunl.base import Key, Params
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput
from certunl.methods._continued import relabelled
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.loop import check_finite, step
from certunl.training.problem import Dataset, Problem
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule
from certunl.training.streaming import microbatch, streamed

__all__ = ["SalUn"]


@dataclass(frozen=True, kw_only=True)
class SalUn(Unlearner):
    """The loop of `RandomLabels`, each step of it masked by m = 1[|grad mean over forgotten l_i| > its `quantile`]:

        params <- m · F(params) + (1 − m) · params

    F is the whole step: neither weight decay, nor the optimizer, nor the ball move a masked weight (the ball is kept by
    the others). The quantile is over all weights together, ties broken by their order: the round((1 − quantile) d)
    largest move. Classification only. NOT CERTIFIED.
    Source: Fan, Liu, Zhang, Wong, Wei, Liu 2024, eqs. 3-5.  Differs: as `RandomLabels`; the gradient is taken at the
    run's parameters, from all the forgotten at once.
    """

    epochs: int = 1
    learning_rate: float | None = None
    quantile: float = 0.5

    def __post_init__(self) -> None:
        Recipe(epochs=self.epochs, learning_rate=1.0 if self.learning_rate is None else self.learning_rate)
        if not (isinstance(self.quantile, Real) and 0 <= float(self.quantile) <= 1):
            raise BadInput(f"quantile must lie between 0 and 1, got {self.quantile!r}")

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """`key` draws labels and batches. Raises: Diverged when the loss leaves the finite numbers."""
        request = run.check(request)
        problem, recipe, schedule = relabelled(run, request, self.epochs, self.learning_rate, key, "salun")
        with Stopwatch() as watch:
            moves = _largest(run.problem, run.params, request, self.quantile)
            params, risks = jax.block_until_ready(_follow(problem, recipe, run.params, schedule, moves))
        check_finite(risks, params, recipe)
        return updated(run, params, watch, "salun")


@jax.jit
def _largest(problem: Problem, params: Params, request: jax.Array, quantile: Any) -> Params:
    """bool, like params: the weights on which the mean loss of `request` depends most."""
    weights = jnp.full(len(request), 1 / len(request))

    def gradient(batch: Dataset, weights: jax.Array) -> Params:
        return jax.grad(problem.risk)(params, batch, weights)

    saliency = streamed(gradient, problem.data[request], weights, microbatch(problem, params))
    flat, unravel = jax.flatten_util.ravel_pytree(jax.tree.map(jnp.abs, saliency))
    moving = jnp.round((1 - quantile) * flat.size)
    chosen = jnp.zeros(flat.size, bool).at[jnp.argsort(-flat)].set(jnp.arange(flat.size) < moving)
    return jax.tree.map(lambda a: a > 0, unravel(chosen.astype(flat.dtype)))


@partial(jax.jit, static_argnames="recipe")
def _follow(
    problem: Problem, recipe: Recipe, start: Params, schedule: Schedule, moves: Params
) -> tuple[Params, jax.Array]:
    """The loop of training, every step of which leaves weights that do not move where they are. The others are
    projected onto what the ball leaves them."""
    free = replace(recipe, radius=None)
    held = optax.tree.norm(jax.tree.map(lambda m, p: jnp.where(m, 0, p), moves, start), squared=True)

    def body(state: Any, slot: Schedule) -> tuple[Any, jax.Array]:
        (params, memory), risk = step(problem, free, state, slot, jnp.ones_like(slot.weights))
        if recipe.radius is not None:
            moving = jax.tree.map(lambda m, p: jnp.where(m, p, 0), moves, params)
            room = jnp.sqrt(jnp.maximum(recipe.radius**2 - held, 0))
            params = projection_l2_ball(moving, room)
        return (jax.tree.map(jnp.where, moves, params, start), memory), risk

    (params, _), risks = jax.lax.scan(body, recipe.begin(start), schedule)
    return params, risks
