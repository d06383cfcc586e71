"""Rows in memory, as `HessianFree.prepare` gathers them. Deletion adds up the rows of the request."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Params
from certunl.errors import BadInput
from certunl.rows.origin import Origin

__all__ = ["Statistics", "asked", "covered", "positions"]


@dataclass(frozen=True, eq=False)
class Statistics:
    """One row per unit, in memory.

    Args:
        rows: the rows, a pytree like params with a leading axis.
        units: i32[m], sorted; the units that have a row.
        owners: i32[n]; the unit of each example. Without owners in the data, each example is its own unit.
        origin: the run, method and form that the rows belong to.
        slots: i32[m]; the position of each unit's row on the leading axis. Default: the order of `units`.
    """

    on_disk: ClassVar[bool] = False

    rows: Params
    units: Any
    owners: Any
    origin: Origin
    slots: Any = None

    def __post_init__(self) -> None:
        for name in ("units", "owners"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
        if self.slots is None:
            object.__setattr__(self, "slots", np.arange(len(self.units)))

    @property
    def dtype(self) -> str:
        """The number type of the rows."""
        return str(jnp.result_type(*jax.tree.leaves(self.rows)))

    def belongs(self, origin: Origin) -> bool:
        """Whether the rows have this origin."""
        return origin.same(self.origin)

    def covers(self, request: Any) -> bool:
        """Whether `request` consists of whole units that all have a row."""
        return covered(request, self.units, self.owners)

    def correction(self, request: Any) -> Params:
        """The sum of the rows of `request`, a pytree like params. Forgetting the request adds it to the parameters.

        Raises: BadInput if a unit has no row, or the request names only part of an owner.
        """
        return _sum_rows(self.rows, *_padded(self.slots[positions(request, self.units, self.owners)]))

    def read(self, units: Any) -> Params:
        """The rows of `units i32[c]`, a pytree like params with leading axis c."""
        slots = self.slots[np.searchsorted(self.units, np.asarray(units))]
        return jax.tree.map(lambda leaf: leaf[slots], self.rows)

    def without(self, request: Any) -> "Statistics":
        """These statistics without the rows of `request`, which are set to 0.

        Such rows are useless after the request is forgotten, and they are personal data. Units without a row are
        ignored.
        Raises: BadInput if the request names only part of an owner.
        """
        return self.drop(asked(request, self.owners))

    def drop(self, units: Any) -> "Statistics":
        """These statistics without the rows of `units`, which are set to 0."""
        gone = np.isin(self.units, units)
        if not gone.any():
            return self
        rows = _set_to_zero(self.rows, _padded(self.slots[gone])[0])
        return replace(self, rows=rows, units=self.units[~gone], slots=self.slots[~gone])


def _padded(slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`slots` and weights of 1, padded with weights of 0 to a power of two.

    So requests of many sizes run the same few programs.
    """
    short = (1 << (len(slots) - 1).bit_length()) - len(slots)
    return np.pad(slots, (0, short), mode="edge"), np.pad(np.ones(len(slots), np.float32), (0, short))


@jax.jit
def _sum_rows(rows: Params, slots: jax.Array, weights: jax.Array) -> Params:
    return jax.tree.map(
        lambda leaf: jnp.tensordot(weights.astype(leaf.dtype), leaf[slots], 1, precision="highest"), rows
    )


@jax.jit
def _set_to_zero(rows: Params, slots: jax.Array) -> Params:
    return jax.tree.map(lambda leaf: leaf.at[slots].set(0), rows)


def covered(request: Any, units: Any, owners: Any) -> bool:
    """Whether `request` consists of members units that are all among `units`."""
    owners, ids = np.asarray(owners), np.asarray(request)
    members = np.unique(owners[ids])
    return bool(np.isin(members, units).all()) and len(np.unique(ids)) == int(np.isin(owners, members).sum())


def positions(request: Any, units: Any, owners: Any) -> np.ndarray:
    """The positions of the units of `request` (example ids) in the sorted `units i32[m]`.

    Raises: BadInput if a unit has no row, or the request names only part of an owner.
    """
    units, members = np.asarray(units), asked(request, owners)
    if (missing := np.setdiff1d(members, units)).size:
        raise BadInput(f"no statistics were prepared for unit {missing[0]}; prepare it, or pass prepared=None")
    return np.searchsorted(units, members)


def asked(request: Any, owners: Any) -> np.ndarray:
    """The units of `request`, sorted. Raises: BadInput for ids outside the data and for only part of an owner."""
    owners, ids = np.asarray(owners), np.unique(np.asarray(request, np.int64))
    if not ids.size or ids[0] < 0 or ids[-1] >= len(owners):
        raise BadInput(f"a request names examples 0 to {len(owners) - 1}, got {np.asarray(request).tolist()}")
    units = np.unique(owners[ids])
    members = np.flatnonzero(np.isin(owners, units))
    if len(members) != len(ids):
        omitted = np.setdiff1d(members, ids)[0]
        raise BadInput(
            f"statistics exist only for whole owners, and the request names part of owner {owners[omitted]} without "
            f"its example {omitted}; name all examples of the owner, or pass prepared=None"
        )
    return units
