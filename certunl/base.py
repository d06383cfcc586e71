"""What every room speaks of: parameters, keys, operators, progress; how one model or many lie in memory."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
    "Key",
    "Operator",
    "Params",
    "Progress",
    "nth",
    "outputs_first",
    "outputs_last",
    "stacked",
    "vector",
    "width",
]


Params = Any
"""A pytree of floating-point arrays."""

Key = jax.Array
"""A typed key of `jax.random.key`."""

Operator = Callable[[Params, Key], Params]
"""(v, key) -> A v, unbiased; a deterministic operator ignores its key."""

Progress = Callable[[int, int], None]
"""(done, total) -> None, called on the host during long work."""


def width(like: Params) -> int:
    """d, the numbers in a row."""
    return sum(leaf.size for leaf in jax.tree.leaves(like))


def vector(tree: Params) -> np.ndarray:
    """All numbers of a model, f64[d]: the leaves one after another."""
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


def stacked(models: Sequence[Params]) -> Params:
    """Models alike as one pytree with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *models)


def nth(models: Params, i: int) -> Params:
    """Number `i` of `stacked` models."""
    return jax.tree.map(lambda leaf: leaf[i], models)


def outputs_first(leaf: jax.Array, axis: int = 0) -> jax.Array:
    """The last axis moved to `axis`: so turned, the products of many models with one batch need no copy of them."""
    return leaf if leaf.ndim - axis < 2 else jnp.moveaxis(leaf, -1, axis)


def outputs_last(leaf: jax.Array, axis: int = 0) -> jax.Array:
    """The inverse of `outputs_first`."""
    return leaf if leaf.ndim - axis < 2 else jnp.moveaxis(leaf, axis, -1)
