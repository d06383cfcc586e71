"""SalUn (Fan et al. 2024): random labels, learnt by the weights with the largest forgotten gradient alone."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
from optax.projections import projection_l2_ball

from certunl.base import Key, Params
from certunl.errors import proportion
from certunl.methods._continued import Continued, Lesson, relabelled
from certunl.training.loop import step
from certunl.training.problem import Dataset, Problem
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule
from certunl.training.streaming import microbatch, streamed

__all__ = ["SalUn"]


@dataclass(frozen=True, kw_only=True)
class SalUn(Continued):
    """The loop of `RandomLabels`, each step masked by m = 1[|grad mean over forgotten l_i| > its `quantile`]:

        params <- m · F(params) + (1 − m) · params

    F is the whole step. Neither weight decay nor the optimizer nor the ball moves a masked weight; the other weights
    alone are projected to keep the model in the ball. Classification only. NOT CERTIFIED.

    Args:
        epochs: passes over all examples that are present.
        learning_rate: the step size of every step. Default: the mean rate of training.
        quantile: the share of the weights that stay fixed, from 0 to 1, over all weights together. The
            round((1 − quantile) d) weights with the largest gradient move; ties go to the earlier weight.

    Source: Fan, Liu, Zhang, Wong, Wei, Liu 2024, eqs. 3-5.  Differs: as `RandomLabels`; the gradient is taken at the
    run's parameters, from all the forgotten examples at once.
    """

    name: ClassVar[str] = "salun"

    quantile: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        proportion(quantile=self.quantile)

    def lesson(self, run: Run, request: np.ndarray, key: Key) -> Lesson:
        return relabelled(self, run, request, key)

    def follow(self, run: Run, request: np.ndarray, lesson: Lesson) -> tuple[Params, jax.Array]:
        moves = _largest(run.problem, run.params, request, self.quantile)
        return _follow(lesson.problem, lesson.recipe, run.params, lesson.schedule, moves)


@jax.jit
def _largest(problem: Problem, params: Params, request: jax.Array, quantile: Any) -> Params:
    """bool, like params: the weights with the largest gradient of the mean loss of `request`."""
    weights = jnp.full(len(request), 1 / len(request))

    def gradient(batch: Dataset, weights: jax.Array) -> Params:
        return jax.grad(problem.risk)(params, batch, weights)

    saliency = streamed(gradient, problem.data[request], weights, microbatch(problem, params))
    flat, unravel = jax.flatten_util.ravel_pytree(jax.tree.map(jnp.abs, saliency))
    moving = jnp.round((1 - quantile) * float(flat.size))
    chosen = jnp.zeros(flat.size, bool).at[jnp.argsort(-flat)].set(jnp.arange(float(flat.size)) < moving)
    return jax.tree.map(lambda a: a > 0, unravel(chosen.astype(flat.dtype)))


@partial(jax.jit, static_argnames="recipe")
def _follow(
    problem: Problem, recipe: Recipe, start: Params, schedule: Schedule, moves: Params
) -> tuple[Params, jax.Array]:
    """The training loop in which only the weights `moves` change. They are projected onto the ball that the squared
    norm of the fixed weights leaves them."""
    free = replace(recipe, radius=None)
    fixed = optax.tree.norm(jax.tree.map(lambda m, p: jnp.where(m, 0, p), moves, start), squared=True)

    def body(state: Any, slot: Schedule) -> tuple[Any, jax.Array]:
        (params, memory), risk = step(problem, free, state, slot, jnp.ones_like(slot.weights))
        if recipe.radius is not None:
            moving = jax.tree.map(lambda m, p: jnp.where(m, p, 0), moves, params)
            room = jnp.sqrt(jnp.maximum(recipe.radius**2 - fixed, 0))
            params = projection_l2_ball(moving, room)
        return (jax.tree.map(jnp.where, moves, params, start), memory), risk

    (params, _), risks = jax.lax.scan(body, recipe.begin(start), schedule)
    return params, risks
