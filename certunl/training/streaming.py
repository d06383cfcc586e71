"""Sums over all the data in the memory of a few examples, exact or estimated from a sample."""

from collections.abc import Callable
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp

from certunl.base import Key, Params
from certunl.training.problem import Dataset, Problem

__all__ = ["example_bytes", "microbatch", "sampled", "streamed"]


def streamed(part: Callable[[Dataset, jax.Array], Any], data: Dataset, weights: jax.Array, size: int = 1024) -> Any:
    """sum over microbatches of part(batch, weights), in the memory of `size` examples."""
    # equal pieces; the last one is filled up with the last example at weight 0
    n = len(data)
    pieces = -(-n // size)
    size = -(-n // pieces)
    if pieces == 1:
        return part(data[jnp.arange(n)] if data.on_host else data, weights)
    slots = jnp.arange(pieces * size).reshape(pieces, size)
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
    budget = 2**29 if jax.default_backend() == "cpu" else 2**34
    return max(1, min(1024, budget // example_bytes(problem, params)))


def example_bytes(problem: Problem, params: Params) -> int:
    """The bytes that one more example adds to everything the loss computes."""

    def size(examples: int) -> int:
        batch = problem.data[jnp.zeros(examples, jnp.int32)]
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


def sampled(part: Callable[[Dataset, jax.Array], Any], data: Dataset, weights: jax.Array, size: int, key: Key) -> Any:
    """An unbiased estimate of the streamed sum from `size` examples.

    They are drawn uniformly with replacement from the examples with nonzero weight. All nonzero weights must be equal.
    """
    counts = jnp.cumsum(weights != 0)  # the first index with a count above r is that of the r-th nonzero weight
    ranks = jax.random.randint(key, (size,), 0, counts[-1])
    indices = jnp.searchsorted(counts, ranks, side="right")
    return part(data[indices], weights[indices] * (counts[-1] / size).astype(weights.dtype))
