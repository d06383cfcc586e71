"""Inputs that stay in the memory of the host, or in a file, and reach the device batch by batch."""

import math
from copy import copy
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from certunl.base import digest
from certunl.errors import BadInput

__all__ = ["OnHost"]


@jax.tree_util.register_static
class OnHost:
    """An array f[n, ...] that stays on the host. `array[indices]` is an array of the device.

    Inside a compiled program the rows are fetched by a callback, so the program is the one for arrays of the device
    and gives the same numbers. An epoch moves every row once; a product with all the data moves all rows.

    Args:
        array: the rows, a NumPy array. `np.load(path, mmap_mode="r")` gives one that is read from its file as it is
            used, and may be larger than the memory. It must not change while a run uses it.

    >>> import numpy as np
    >>> OnHost(np.arange(6.0, dtype=np.float32).reshape(3, 2))[np.array([2, 0])].tolist()
    [[4.0, 5.0], [0.0, 1.0]]
    """

    def __init__(self, array: Any):
        if not isinstance(array, np.ndarray) or array.ndim == 0 or array.dtype == object:
            raise BadInput(f"OnHost needs a NumPy array with one row per example, got {type(array).__name__}")
        self._array = array
        self._index: np.ndarray | None = None
        self.shape = array.shape
        self.dtype = np.dtype(jax.dtypes.canonicalize_dtype(array.dtype))
        self._digest: str | None = None

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        whole = self._array if self._index is None else self._array[self._index]
        return np.asarray(whole, self.dtype if dtype is None else dtype)

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """The rows of `indices`, on the host. Indices beyond the last row give the last one, as on the device."""
        return np.asarray(self._array[self._places(np.clip(indices, -len(self), len(self) - 1))], self.dtype)

    def take(self, indices: Any) -> "OnHost":
        """The rows of `indices`, which stay where they are."""
        part = copy(self)
        part._index, part._digest = np.asarray(self._places(np.asarray(indices))), None
        part.shape = (len(part._index), *self.shape[1:])
        return part

    def _places(self, indices: Any) -> Any:
        return indices if self._index is None else self._index[indices]

    def __getitem__(self, indices: Any) -> Any:
        if not isinstance(indices, Tracer):
            indices = np.asarray(indices) if isinstance(indices, jax.Array) else indices
            return np.asarray(self._array[self._places(indices)]).astype(self.dtype)
        shape = jax.ShapeDtypeStruct((*indices.shape, *self.shape[1:]), self.dtype)
        return jax.pure_callback(self._fetch, shape, indices, vmap_method="expand_dims")

    def _fetch(self, indices: Any) -> np.ndarray:
        return self.rows(np.asarray(indices))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OnHost) or self is other:
            return self is other
        return (self.shape, self.dtype) == (other.shape, other.dtype) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash((self.shape, str(self.dtype)))

    @property
    def digest(self) -> str:
        """sha256 of the rows, computed once."""
        if self._digest is None:
            self._digest = digest(None, (self._array, self._index))
        return self._digest
