"""What arrays and columns must hold before they become a Dataset, and the warnings about them."""

from typing import Any

import jax
import numpy as np

from certunl.errors import BadInput, warn
from certunl.training.arrays import as_array, check_kind, distinct_in_float32

__all__ = ["LARGEST", "alike", "clean", "inputs"]

LARGEST = float(np.finfo(np.float32).max)
_INT32 = np.iinfo(np.int32)


def clean(value: Any, name: str) -> np.ndarray:
    """`value` as an array of float32 or int32; float64 stays under x64. `name` stands for it in the messages.

    Raises: BadInput for arrays that are sparse, ragged, masked, of objects or of another kind than real numbers, and
    for numbers that 32 bits cannot hold. Warns where different numbers of a column become equal in float32.
    """
    array = value if hasattr(value, "toarray") or hasattr(value, "dtype") else as_array(value, name)
    check_kind(array, name)
    array = np.asarray(array)
    if array.dtype.name == "bfloat16" or array.dtype == bool:
        return array.astype(np.float32)
    if array.dtype.kind in "iu":
        if array.size and (array.min() < _INT32.min or array.max() > _INT32.max):
            raise BadInput(
                f"{name} holds whole numbers from {array.min()} to {array.max()}, but 32 bits hold at most "
                f"{_INT32.max}; number them anew, or leave out a column of ids"
            )
        return array.astype(np.int32)
    if array.dtype.itemsize > 4 and jax.config.read("jax_enable_x64"):
        return array.astype(np.float64)
    if array.dtype.itemsize > 4:
        finite = np.abs(array[np.isfinite(array)]).max(initial=0)
        if finite > LARGEST:
            raise BadInput(f"{name} holds {finite:.4g}, but float32 ends at {LARGEST:.4g}; divide it by a constant")
        if len(columns := np.flatnonzero(~distinct_in_float32(array))):
            where = f"column {columns[0]} of {name}" if array.ndim > 1 else name
            warn(
                f"different numbers of {where} become equal in float32; subtract a constant, leave the column out, or "
                "set JAX_ENABLE_X64=1"
            )
    return array.astype(np.float32)


def inputs(x: Any, name: str, scale: float | None = None) -> Any:
    """The arrays of a tree of dictionaries, each cleaned, and divided by `scale`. Bytes become float32.

    Warns of bytes beyond 1 that nothing divides, as in images of 0 to 255.
    """
    leaves, tree = jax.tree.flatten(x, is_leaf=lambda v: not isinstance(v, dict))
    return jax.tree.unflatten(tree, [_input(leaf, name, scale) for leaf in leaves])


def _input(x: Any, name: str, scale: float | None) -> np.ndarray:
    array, raw = clean(x, name), getattr(x, "dtype", None) == np.uint8
    if raw and scale is None and array.max(initial=0) > 1:
        warn(f"{name} holds bytes up to {array.max()}, and stays as it is; a scale of 255 would make it 0 to 1")
    if array.dtype.kind == "i" and (raw or scale is not None):
        array = array.astype(np.float32)
    return array if scale is None else array / np.asarray(scale, array.dtype)


def alike(train: Any, test: Any, title: str) -> None:
    """Raises BadInput unless one example has the same shape in both parts."""
    for name in ("x", "y"):
        shapes = [jax.tree.map(lambda a: np.shape(a)[1:], getattr(part, name)) for part in (train, test)]
        if shapes[0] != shapes[1]:
            raise BadInput(
                f"{title}: {name} of a training example has the shape {shapes[0]}, but of a test example {shapes[1]}"
            )
