"""The contract of rows, in memory or on disk."""

from typing import Any, ClassVar, Protocol

import numpy as np

from certunl.base import Params
from certunl.rows.origin import Origin

__all__ = ["Rows"]


class Rows(Protocol):
    """One vector per unit, which forgetting the unit adds to the parameters."""

    on_disk: ClassVar[bool]

    @property
    def dtype(self) -> str:
        """The type of the numbers that are kept."""
        ...

    @property
    def units(self) -> np.ndarray:
        """The units i32[m] that have a row, sorted."""
        ...

    @property
    def owners(self) -> np.ndarray:
        """The unit i32[n] of each example."""
        ...

    def belongs(self, origin: Origin) -> bool:
        """Whether they are of that run, method and form."""
        ...

    def covers(self, request: Any) -> bool:
        """Whether `request` is of whole units, each of which has a row."""
        ...

    def correction(self, request: Any) -> Params:
        """The sum of the rows of `request`, a pytree like params."""
        ...

    def read(self, units: Any) -> Params:
        """The rows of `units i32[c]`, a pytree like params with leading axis c."""
        ...

    def drop(self, units: Any) -> "Rows":
        """The same without the rows of `units`, which are erased."""
        ...
