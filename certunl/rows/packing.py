"""The layout of rows, as a matrix f[c, d] in files or as leaves with a leading axis in memory."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Params
from certunl.errors import BadInput

__all__ = ["described", "flat", "kept_as", "shaped"]


def described(like: Params) -> dict[str, list[Any]]:
    """{path: [*shape, dtype]} of every leaf. Two layouts are equal if these are."""
    leaves = jax.tree_util.tree_leaves_with_path(like)
    return {jax.tree_util.keystr(path): [*leaf.shape, str(leaf.dtype)] for path, leaf in leaves}


def kept_as(like: Params, dtype: str | None) -> str:
    """The type in which rows are stored: `dtype`, or that of `like`. Raises: BadInput for an unsupported type."""
    kind = str(jnp.dtype(dtype or jnp.result_type(*(leaf.dtype for leaf in jax.tree.leaves(like)))))
    if kind not in ("bfloat16", "float32", "float64"):
        raise BadInput(f"rows are stored as bfloat16, float32 or float64, got {kind}")
    return kind


def flat(rows: Params, like: Params, count: int, dtype: Any, name: str) -> np.ndarray:
    """A pytree like params with leading axis `count` -> dtype[count, d].

    Raises: BadInput, about the chunk `name`, if the shapes differ or a number is not finite as `dtype`.
    """
    leaves, structure = jax.tree.flatten(rows)
    shapes = [(count, *leaf.shape) for leaf in jax.tree.leaves(like)]
    if structure != jax.tree.structure(like) or [np.shape(leaf) for leaf in leaves] != shapes:
        raise BadInput(f"{name} takes rows of shapes {shapes}, got {[np.shape(x) for x in leaves]}")
    matrix = np.concatenate([np.asarray(leaf).reshape(count, -1) for leaf in leaves], axis=1)
    with np.errstate(over="ignore"):  # an overflow is refused below
        matrix = matrix.astype(dtype, copy=False)
    if not np.isfinite(matrix).all():
        raise BadInput(f"{name} holds NaN or infinity as {matrix.dtype}; give finite rows, or a wider dtype")
    return matrix


def shaped(values: np.ndarray, like: Params) -> Params:
    """f[..., d] -> a pytree like params, with the same leading axes."""
    leaves, structure = jax.tree.flatten(like)
    parts = np.split(values, np.cumsum([leaf.size for leaf in leaves])[:-1], axis=-1)
    shapes = [(*values.shape[:-1], *leaf.shape) for leaf in leaves]
    arrays = [jnp.asarray(p.reshape(s), leaf.dtype) for p, s, leaf in zip(parts, shapes, leaves, strict=True)]
    return jax.tree.unflatten(structure, arrays)
