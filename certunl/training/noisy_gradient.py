"""The gradient of one step of training with noise: clipped sums of microbatches as integers, and integers of noise."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from certunl.base import Params, width
from certunl.certificates.noise import STEP_BITS, grid
from certunl.training.clipping import clipped_sum, margin
from certunl.training.problem import Problem
from certunl.training.programs import values
from certunl.training.recipe import Recipe
from certunl.training.schedule import Schedule

__all__ = ["microbatch", "noise_grid", "noisy_gradient"]

_MICROBATCH, _GRADIENTS = 128, 1 << 26
"""The most examples of a microbatch, and the most numbers in gradients of its examples."""

_TOGETHER = 1 << 19
"""Numbers in the sums of the microbatches that are computed together."""

_VALUES = 1 << 22
"""Numbers that the losses of the examples that are computed together may take on a CPU, whose caches are small."""

_SUM = 2.0**30
"""The largest sum of a batch in cells of the grid, so that sum and noise fit into 32 bits."""


def microbatch(params: Params, slots: int) -> int:
    """The number of examples whose gradients are summed in floating point; sums of microbatches are added as integers.

    It is 128, or fewer for a batch of fewer `slots` and for many parameters.
    """
    return max(1, min(_MICROBATCH, slots, _GRADIENTS // width(params)))


def noise_grid(recipe: Recipe, slots: int) -> float:
    """g, a power of two: 2^-20 of the noise of a sum, or coarser if a batch of `slots` would leave 32 bits."""
    assert recipe.clip_each is not None
    return max(
        grid(recipe.noise * recipe.clip_each, STEP_BITS), 2.0 ** math.ceil(math.log2(slots * recipe.clip_each / _SUM))
    )


def noisy_gradient(
    problem: Problem, recipe: Recipe, params: Params, row: Schedule, numbers: Params, cell: float
) -> tuple[Params, jax.Array]:
    """(the noisy mean gradient of a batch, its risk without noise)."""
    assert recipe.clip_each is not None
    limit = recipe.clip_each / (1 + margin(params))
    slots = row.indices.shape[0]
    size = microbatch(params, slots)
    pieces = _pieces(problem, params, row, size)
    count = 1 if pieces > 1 else max(1, min(4, -(-slots // size), _TOGETHER // width(params)))  # microbatches at a time
    more = -slots % (size * count)
    indices, weights = (jnp.pad(a, (0, more)).reshape(-1, size * count) for a in (row.indices, row.weights))

    def one(carry: tuple[Params, jax.Array], part: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        total, risk = carry

        def some(rows: tuple[jax.Array, jax.Array]) -> tuple[Params, jax.Array]:
            batch = problem.batch(rows[0], row.numbers)
            return clipped_sum(problem, params, batch, rows[1], limit, count)

        if pieces == 1:
            summed, of_part = some(part)
        else:
            summed, of_part = jax.lax.map(some, jax.tree.map(lambda a: a.reshape(pieces, -1), part))
            summed, of_part = jax.tree.map(lambda a: jnp.sum(a, axis=0), (summed, of_part))
        cells = jax.tree.map(lambda a: jnp.sum(jnp.rint(a / cell).astype(jnp.int32), axis=0, dtype=jnp.int32), summed)
        return (jax.tree.map(jnp.add, total, cells), risk + of_part), None

    kind = jax.eval_shape(problem.per_example, params, problem.batch(indices[0], row.numbers)).dtype
    zero = jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.int32), params), jnp.zeros((), kind)
    (total, risk), _ = jax.lax.scan(one, zero, (indices, weights))

    share = jnp.where(row.divisors != 0, 1 / jnp.where(row.divisors != 0, row.divisors, 1), 0)

    def mean(cells: jax.Array, noise: jax.Array, p: jax.Array) -> jax.Array:
        return ((cells + noise).astype(p.dtype) * cell * share).astype(p.dtype)

    return jax.tree.map(mean, total, numbers, params), risk * share


def _pieces(problem: Problem, params: Params, row: Schedule, size: int) -> int:
    """The least divisor of `size` that cuts a microbatch into parts whose losses take few numbers; 1 off the CPU."""
    if jax.default_backend() != "cpu":
        return 1
    one = problem.batch(row.indices[:1], row.numbers), row.weights[:1]
    program = jax.make_jaxpr(lambda params, one: problem.risk(params, *one))(params, one)
    leaves = [len(jax.tree.leaves(part)) for part in (params, one)]
    of_one = values(program.jaxpr, [False] * leaves[0] + [True] * leaves[1])
    most = max(1, _VALUES // max(of_one, 1))
    return next(pieces for pieces in range(1, size + 1) if size % pieces == 0 and size // pieces <= most)
