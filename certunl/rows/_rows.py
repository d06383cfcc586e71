"""The contract of rows, in memory or on disk."""

from typing import Any, ClassVar, Protocol

import numpy as np

from certunl.base import Params
from certunl.rows.origin import Origin

__all__ = ["Rows"]


class Rows(Protocol):
    """One vector per unit. Forgetting a unit adds its vector to the parameters."""

    on_disk: ClassVar[bool]

    @property
    def dtype(self) -> str:
        """The number type of the stored rows."""
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
        """Whether the rows were gathered for the run, method and form of `origin`."""
        ...

    def covers(self, request: Any) -> bool:
        """Whether `request` consists of whole units that all have a row."""
        ...

    def correction(self, request: Any) -> Params:
        """The sum of the rows of `request`, a pytree like params."""
        ...

    def read(self, units: Any) -> Params:
        """The rows of `units i32[c]`, a pytree like params with leading axis c."""
        ...

    def drop(self, units: Any) -> "Rows":
        """These rows without those of `units`, which are erased."""
        ...
