"""What an array of the user's own must be: dense, of real numbers, finite, and such that 32 bits keep them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.errors import BadInput, warn

__all__ = ["as_array", "check_kind", "check_numbers", "distinct_in_float32"]

_BLOCK = 2**23
"""Number of values that are looked at in one piece."""

_LOST = 0.1
"""The share of distinct numbers that may become equal in float32. Among 10^6 random numbers about 2% do."""

_SORTED = 20_000_000
"""The number of values of the first rows that are sorted, so that it takes a few seconds at most."""


def as_array(values: Any, name: str) -> np.ndarray:
    """A list as an array. Raises: BadInput if its rows have different shapes."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise BadInput(f"{name} is ragged: its rows must all have the same shape; pad or cut them") from error


def check_kind(array: Any, name: str) -> None:
    """Raises BadInput unless `array` is a dense array of real numbers; `name` stands for it in the message."""
    if hasattr(array, "toarray") or hasattr(array, "todense"):
        raise BadInput(f"{name} is a sparse matrix; make it dense first with .toarray()")
    if np.ma.isMaskedArray(array) and np.ma.getmaskarray(array).any():
        raise BadInput(f"{name} is an array with masked entries; fill them first with .filled(0)")
    if not (hasattr(array, "dtype") and hasattr(array, "shape")):
        frame = "; give its numbers by .to_numpy(), or read it by read_table" if hasattr(array, "columns") else ""
        raise BadInput(f"{name} must be an array with one row per example, got {type(array).__name__}{frame}")
    if not isinstance(array.dtype, np.dtype):
        raise BadInput(f"{name} is a {type(array).__name__} of {array.dtype}; give its numbers as an array")
    if array.dtype == object and len({np.shape(row) for row in array.reshape(-1)[:1000]}) > 1:
        raise BadInput(f"{name} is ragged: its rows must all have the same shape; pad or cut them")
    if array.dtype.kind not in "biuf" and not jnp.issubdtype(array.dtype, jnp.floating):  # bfloat16 is of kind "V"
        raise BadInput(f"{name} must hold real numbers, got dtype {array.dtype}; turn words and objects into numbers")


def check_numbers(array: Any, name: str) -> None:
    """Raises BadInput for numbers that are not finite, or that JAX would change. Warns of those that lose meaning."""
    rows = max(1, _BLOCK * len(array) // max(1, np.size(array)))  # the array may be larger than the memory
    for first in range(0, len(array), rows):
        _check_block(np.asarray(array[first : first + rows]), name, first, len(array))
    if not isinstance(array, np.ndarray):
        return
    if array.dtype == np.uint8 and array.max(initial=0) > (1 if array.ndim > 2 else 100) and array.ndim > 1:
        warn(
            f"{name} holds images of whole numbers up to {array.max()}; networks learn from numbers near 1, so divide "
            "by 255"
        )
    shortened = array.dtype == np.float64 and not jax.config.read("jax_enable_x64")
    if shortened and len(columns := np.flatnonzero(~distinct_in_float32(array))):
        warn(
            f"different numbers of column {columns[0]} of {name} become equal in float32; subtract a constant and "
            "scale it, or set JAX_ENABLE_X64=1"
        )


def _check_block(block: np.ndarray, name: str, first: int, n: int) -> None:
    if np.issubdtype(block.dtype, np.integer) and not jax.config.read("jax_enable_x64") and block.size:
        low, high = int(block.min()), int(block.max())
        if low < -(2**31) or high > (2**32 - 1 if block.dtype.kind == "u" else 2**31 - 1):
            raise BadInput(
                f"{name} holds whole numbers from {low} to {high}, which JAX would cut to 32 bits; number them anew, "
                "scale them, or set JAX_ENABLE_X64=1"
            )
    if jnp.issubdtype(block.dtype, np.floating):
        finite = np.isfinite(block).reshape(len(block), -1).all(axis=1)
        if not finite.all():
            count = "at least " if n > len(block) else ""
            raise BadInput(
                f"{name} holds NaN or infinity in {count}{int((~finite).sum())} of {n} examples (first: "
                f"{first + int(np.flatnonzero(~finite)[0])}); remove or impute them"
            )
        if (large := float(np.abs(block).max(initial=0))) > 1e15:
            raise BadInput(f"{name} must lie within 1e15 of 0, because norms overflow in float32; got {large:.3g}")


def distinct_in_float32(array: np.ndarray) -> np.ndarray:
    """bool[columns]: whether the distinct numbers of each column stay distinct in float32, but for chance."""
    if (array.astype(np.float32) == array).all():  # as for an array without entries
        return np.ones(0, bool) if not array.size else np.ones(array.reshape(len(array), -1).shape[1], bool)
    columns = array.reshape(len(array), -1)[: max(1, _SORTED // max(1, array[0].size))]
    apart = np.ones(columns.shape[1], bool)
    for start in range(0, columns.shape[1], 64):  # a sorted copy of all columns might not fit
        ordered = np.sort(columns[:, start : start + 64].astype(np.float64), axis=0)
        before = (np.diff(ordered, axis=0) != 0).sum(0)
        after = (np.diff(ordered.astype(np.float32), axis=0) != 0).sum(0)
        apart[start : start + 64] = before - after <= _LOST * before
    return apart
