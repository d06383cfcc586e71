"""The risk that retraining minimises, and its derivatives at any parameters, streamed over the data."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import optax

from certunl.base import Params, SampledOperator
from certunl.training.curvature import CURVATURES
from certunl.training.run import Run
from certunl.training.streaming import drawn, microbatch, sampled, streamed

__all__ = ["Risk"]


@dataclass(frozen=True)
class Risk:
    """L(w, S) = (1/n_S) sum_{i in S, visited} l(w; z_i) + weight_decay/2 ‖w‖², for the set S of a mask bool[n].

    An example counts once if the run's schedule visits it, whatever its weights there, and otherwise not at all. In a
    run without a history every example counts. n_S is
    the number of visited examples in the whole training set for `denominator="batch"`, and in S for "retained", as in
    retraining. Use it inside a traced function. Every method takes the memory of one microbatch, whatever n is.

    Args:
        run: its problem, schedule and recipe define the risk.
    """

    run: Run

    def __post_init__(self) -> None:
        self.run.need_one_model("this method")

    def visited(self) -> jax.Array:
        """bool[n]: the examples that the schedule visits, and all examples if the run has no history."""
        schedule = self.run.schedule
        if not self.run.history:
            return jnp.ones(len(self.run.present), bool)
        return jnp.zeros(len(self.run.present), bool).at[schedule.indices].max(schedule.weights != 0)

    def count(self, mask: jax.Array) -> jax.Array:
        """The number of visited examples in `mask`."""
        return jnp.sum(mask & self.visited())

    def shares(self, mask: jax.Array) -> jax.Array:
        """f[n]: 1/n_S for each visited example of S, and 0 for every other example."""
        visited = self.visited()
        retained = mask & visited
        many = jnp.maximum(jnp.sum(visited if self.run.recipe.denominator == "batch" else retained), 1)
        return retained.astype(float) / many.astype(float)

    def sum_gradient(self, params: Params, weights: jax.Array) -> Params:
        """sum_i weights_i grad l_i, without weight decay."""
        problem = self.run.problem
        gradient, size = jax.grad(problem.risk), microbatch(problem, params)
        return streamed(lambda batch, w: gradient(params, batch, w), problem.data, weights, size)

    def gradient(self, params: Params, mask: jax.Array) -> Params:
        """grad L(params, S)."""
        data = self.sum_gradient(params, self.shares(mask))
        return optax.tree.add_scale(data, self.run.recipe.weight_decay, params)

    def product(self, params: Params, v: Params, mask: jax.Array, curvature: str) -> Params:
        """A v, where A is the `curvature` ("hessian", "ggn" or "fisher") of L(., S) at `params`."""
        problem = self.run.problem
        part, fits = partial(CURVATURES[curvature], problem, params, v), microbatch(problem, params)
        image = streamed(part, problem.data, self.shares(mask), fits)
        return optax.tree.add_scale(image, self.run.recipe.weight_decay, v)

    def estimate(self, params: Params, mask: jax.Array, curvature: str, size: int) -> SampledOperator:
        """`product` without bias from `size` examples of S. Each sample is drawn with replacement."""
        problem, weights = self.run.problem, self.shares(mask)
        fits = microbatch(problem, params)

        def at(v: Params, indices: jax.Array) -> Params:
            image = sampled(partial(CURVATURES[curvature], problem, params, v), problem.data, weights, indices, fits)
            return optax.tree.add_scale(image, self.run.recipe.weight_decay, v)

        return SampledOperator(partial(drawn, weights, size), at)
