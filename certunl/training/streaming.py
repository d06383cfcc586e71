"""Sums over all the data in the memory of a few examples, exact or estimated from a sample."""

from collections.abc import Callable
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp

from certunl.base import Key, Params, platform
from certunl.training.mesh import manual_axis
from certunl.training.problem import Dataset, Problem

__all__ = ["drawn", "example_bytes", "microbatch", "sampled", "streamed"]


def streamed(part: Callable[[Dataset, jax.Array], Any], data: Dataset, weights: jax.Array, size: int = 1024) -> Any:
    """sum over microbatches of part(batch, weights), in the memory of `size` examples.

    In a program that is spread over devices each device sums its own examples, and one reduction joins the sums.
    `data` are then all examples, or those of this device alone, while `weights f[n]` are always those of all.
    """
    axis, devices = manual_axis()
    n = len(weights)
    if devices == 1:
        return _summed(part, data, weights, 0, n, size)
    each = -(-n // devices)
    first = each * jax.lax.axis_index(axis)
    if len(data) != n:
        weights, first = jax.lax.dynamic_slice_in_dim(weights, first, each), 0
    total, unravel = jax.flatten_util.ravel_pytree(_summed(part, data, weights, first, each, size))
    return unravel(jax.lax.psum(total, axis))


def _summed(
    part: Callable[[Dataset, jax.Array], Any],
    data: Dataset,
    weights: jax.Array,
    first: jax.Array | int,
    count: int,
    size: int,
) -> Any:
    """The same sum over `count` examples from `first`, on one device. Places after the last example do not count."""
    # equal pieces; the last one is filled up with the last example at weight 0
    n = len(data)
    pieces = -(-count // size)
    size = -(-count // pieces)
    if pieces == 1 and count == n:
        return part(data[jnp.arange(n)] if data.on_host else data, weights)
    places = jnp.arange(pieces * size)
    slots = jnp.where(places < count, first + places, n).reshape(pieces, size)
    weights = jnp.where(slots < n, weights[jnp.minimum(slots, n - 1)], 0)

    def body(total: Any, piece: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        indices, share = piece
        return jax.tree.map(jnp.add, total, part(data[jnp.minimum(indices, n - 1)], share)), None

    shapes = jax.eval_shape(part, data[slots[0]], weights[0])
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    return jax.lax.scan(body, zero, (slots, weights))[0]


def microbatch(problem: Problem, params: Params) -> int:
    """The number of examples whose products fit into half a GiB (a CPU) or 16 GiB (a device), at most 1,024.

    The estimate is that a product needs the memory of everything the loss computes.
    """
    budget = 2**29 if platform() == "cpu" else 2**34
    return max(1, min(1024, budget // example_bytes(problem, params)))


def example_bytes(problem: Problem, params: Params) -> int:
    """The bytes that one more example adds to everything the loss computes."""

    def size(examples: int) -> int:
        batch = jax.eval_shape(lambda data: data[jnp.zeros(examples, jnp.int32)], problem.data)
        return _bytes(jax.make_jaxpr(problem.per_example)(params, batch).jaxpr)

    return max(size(2) - size(1), 1)


def _bytes(program: Any) -> int:
    """The size in bytes of everything that a program and the programs within it compute."""
    total = 0
    for equation in program.eqns:
        total += sum(out.aval.size * out.aval.dtype.itemsize for out in equation.outvars if hasattr(out.aval, "size"))
        for value in equation.params.values():
            parts = [getattr(part, "jaxpr", part) for part in (value if isinstance(value, tuple) else (value,))]
            total += max((_bytes(part) for part in parts if hasattr(part, "eqns")), default=0)  # only one branch runs
    return total


def drawn(weights: jax.Array, size: int, key: Key) -> jax.Array:
    """i32[size]: examples drawn uniformly with replacement from those with nonzero weight."""
    chosen = weights != 0
    places = jnp.nonzero(chosen, size=len(weights))[0]
    return places[jax.random.randint(key, (size,), 0, jnp.sum(chosen))]


def sampled(
    part: Callable[[Dataset, jax.Array], Any],
    data: Dataset,
    weights: jax.Array,
    indices: jax.Array,
    fits: int = 1024,
) -> Any:
    """An unbiased estimate of the streamed sum from the examples `indices` of `drawn`.

    It takes the memory of `fits` examples. All nonzero weights must be equal. Every device of a
    program computes the whole estimate.
    """
    size = len(indices)
    share = weights[indices] * (jnp.sum(weights != 0) / size).astype(weights.dtype)
    return _summed(part, data[indices], share, 0, size, fits)
