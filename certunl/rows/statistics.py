"""One stored vector per unit: what `HessianFree.prepare` gathers, and deletion adds up."""

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
    """One row per unit: `rows` is a pytree like params with a leading axis; `units i32[m]`, sorted, are those that have
    a row, `slots i32[m]` says where it stands (by default in that order), `owners i32[n]` names the unit of each
    example (itself, where the data name no owners), `origin` what they belong to."""

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
        """The type of the rows' numbers."""
        return str(jnp.result_type(*jax.tree.leaves(self.rows)))

    def belongs(self, origin: Origin) -> bool:
        """Whether they are of that origin."""
        return origin.same(self.origin)

    def covers(self, request: Any) -> bool:
        """Whether `request` is of whole units, each of which has a row."""
        return covered(request, self.units, self.owners)

    def correction(self, request: Any) -> Params:
        """The sum of the rows of `request`: what forgetting it adds to the parameters; a pytree like params.

        Raises: BadInput where a unit has no row, or the request names only a part of an owner.
        """
        return _sum_rows(self.rows, *_padded(self.slots[positions(request, self.units, self.owners)]))

    def read(self, units: Any) -> Params:
        """The rows of `units i32[c]`, a pytree like params with leading axis c."""
        slots = self.slots[np.searchsorted(self.units, np.asarray(units))]
        return jax.tree.map(lambda leaf: leaf[slots], self.rows)

    def without(self, request: Any) -> "Statistics":
        """The same statistics with the rows of `request` dropped and set to 0: they are of no use once it is forgotten,
        and are personal data. Units that have no row are passed over.

        Raises: BadInput where the request names only a part of an owner.
        """
        return self.drop(asked(request, self.owners))

    def drop(self, units: Any) -> "Statistics":
        """The same without the rows of `units`."""
        gone = np.isin(self.units, units)
        if not gone.any():
            return self
        rows = _set_to_zero(self.rows, _padded(self.slots[gone])[0])
        return replace(self, rows=rows, units=self.units[~gone], slots=self.slots[~gone])


def _padded(slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`slots` and their weights of 1, filled with weights of 0 up to a power of two: requests of many sizes then run
    the same few programs."""
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
    """Whether `request` is of whole units, each of them among `units`."""
    owners, ids = np.asarray(owners), np.asarray(request)
    wanted = np.unique(owners[ids])
    return bool(np.isin(wanted, units).all()) and len(np.unique(ids)) == int(np.isin(owners, wanted).sum())


def positions(request: Any, units: Any, owners: Any) -> np.ndarray:
    """Where in the sorted `units i32[m]` the units of `request` (example ids) stand; `owners i32[n]` as in Statistics.

    Raises: BadInput where a unit has no row, or the request names only a part of an owner.
    """
    units, wanted = np.asarray(units), asked(request, owners)
    if (missing := np.setdiff1d(wanted, units)).size:
        raise BadInput(f"no statistics were prepared for unit {missing[0]}; prepare it, or pass prepared=None")
    return np.searchsorted(units, wanted)


def asked(request: Any, owners: Any) -> np.ndarray:
    """The units of `request`, sorted. Raises: BadInput where it names only a part of an owner."""
    owners, ids = np.asarray(owners), np.unique(np.asarray(request, np.int64))
    if not ids.size or ids[0] < 0 or ids[-1] >= len(owners):
        raise BadInput(f"a request names examples 0 to {len(owners) - 1}, got {np.asarray(request).tolist()}")
    units = np.unique(owners[ids])
    members = np.flatnonzero(np.isin(owners, units))
    if len(members) != len(ids):
        left = np.setdiff1d(members, ids)[0]
        raise BadInput(
            f"statistics are kept per owner: the request names a part of owner {owners[left]} but not its example "
            f"{left}; name all of the owner, or pass prepared=None"
        )
    return units
