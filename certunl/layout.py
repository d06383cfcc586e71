"""How one model or many lie in memory: as a vector, as rows of a matrix f[c, d], as leaves with a leading axis, or with
the axis of the outputs first."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.typing import BadInput, Params

__all__ = [
    "described",
    "flat",
    "kept_as",
    "nth",
    "outputs_first",
    "outputs_last",
    "shaped",
    "stacked",
    "vector",
    "width",
]


def described(like: Params) -> dict[str, list[Any]]:
    """{path: [*shape, dtype]} of every leaf: what tells two layouts apart."""
    leaves = jax.tree_util.tree_leaves_with_path(like)
    return {jax.tree_util.keystr(path): [*leaf.shape, str(leaf.dtype)] for path, leaf in leaves}


def width(like: Params) -> int:
    """d, the numbers in a row."""
    return sum(leaf.size for leaf in jax.tree.leaves(like))


def kept_as(like: Params, dtype: str | None) -> str:
    """What rows are kept as: `dtype`, or that of `like`. Raises: BadInput where rows are not kept as that."""
    kind = str(jnp.dtype(dtype or jnp.result_type(*(leaf.dtype for leaf in jax.tree.leaves(like)))))
    if kind not in ("bfloat16", "float32", "float64"):
        raise BadInput(f"rows are kept as bfloat16, float32 or float64, not as {kind}")
    return kind


def flat(rows: Params, like: Params, count: int, dtype: Any, name: str) -> np.ndarray:
    """A pytree like params with leading axis `count` -> dtype[count, d].

    Raises: BadInput, about the chunk `name`, where the shapes are others or a number is not finite as `dtype`.
    """
    leaves, structure = jax.tree.flatten(rows)
    shapes = [(count, *leaf.shape) for leaf in jax.tree.leaves(like)]
    if structure != jax.tree.structure(like) or [np.shape(leaf) for leaf in leaves] != shapes:
        raise BadInput(f"{name} takes rows of shapes {shapes}, got {[np.shape(x) for x in leaves]}")
    matrix = np.concatenate([np.asarray(leaf).reshape(count, -1) for leaf in leaves], axis=1)
    with np.errstate(over="ignore"):  # refused below
        matrix = matrix.astype(dtype, copy=False)
    if not np.isfinite(matrix).all():
        raise BadInput(f"{name} holds NaN or infinity as {matrix.dtype}; such rows are of no use")
    return matrix


def shaped(values: np.ndarray, like: Params) -> Params:
    """f[..., d] -> a pytree like params, with the same leading axes."""
    leaves, structure = jax.tree.flatten(like)
    parts = np.split(values, np.cumsum([leaf.size for leaf in leaves])[:-1], axis=-1)
    shapes = [(*values.shape[:-1], *leaf.shape) for leaf in leaves]
    made = [jnp.asarray(p.reshape(s), leaf.dtype) for p, s, leaf in zip(parts, shapes, leaves, strict=True)]
    return jax.tree.unflatten(structure, made)


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
