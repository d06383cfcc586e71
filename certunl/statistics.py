"""One stored vector per unit: what `HessianFree.prepare` gathers, and deletion adds up."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from certunl.training import Run
from certunl.typing import BadInput, Params

__all__ = ["Statistics", "asked", "covered", "origin", "positions", "same"]


def origin(run: Run) -> Any:
    """What statistics of `run` belong to: its start, schedule and data, which forgetting leaves as they are."""
    return run.start, run.schedule, run.problem.data


def same(a: Any, b: Any) -> bool:
    """Whether two origins are one: the same arrays, or equal ones."""
    if jax.tree.structure(a) != jax.tree.structure(b):
        return False
    return all(x is y or np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@struct.dataclass
class Statistics:
    """One row per unit: `rows` is a pytree like params with a leading axis m; `units i32[m]`, sorted, names the unit
    of each row, `owners i32[n]` the unit of each example (itself, where the data name no owners); `origin` is that of
    the run they belong to."""

    rows: Params
    units: jax.Array
    owners: jax.Array
    origin: Any

    def belongs(self, run: Run) -> bool:
        """Whether these are statistics of `run`, or of what it was before a request."""
        return same(self.origin, origin(run))

    def covers(self, request: Any) -> bool:
        """Whether every unit of `request` has a row."""
        return covered(request, self.units, self.owners)

    def correction(self, request: Any) -> Params:
        """The sum of the rows of `request`: what forgetting it adds to the parameters; a pytree like params.

        Raises: BadInput where a unit has no row, or the request names only a part of an owner.
        """
        return _sum_rows(self.rows, positions(request, self.units, self.owners))

    def read(self, units: Any) -> Params:
        """The rows of `units i32[c]`, a pytree like params with leading axis c."""
        rows = np.searchsorted(self.units, np.asarray(units))
        return jax.tree.map(lambda leaf: leaf[rows], self.rows)

    def without(self, request: Any) -> "Statistics":
        """The same statistics with the rows of `request` dropped: they are of no use once it is forgotten, and are
        personal data. Units that have no row are passed over.

        Raises: BadInput where the request names only a part of an owner.
        """
        kept = np.flatnonzero(~np.isin(self.units, asked(request, self.owners)))
        rows = jax.tree.map(lambda leaf: leaf[kept], self.rows)
        return replace(self, rows=rows, units=self.units[kept])


@jax.jit
def _sum_rows(rows: Params, indices: jax.Array) -> Params:
    return jax.tree.map(lambda leaf: jnp.sum(leaf[indices], axis=0), rows)


def covered(request: Any, units: Any, owners: Any) -> bool:
    """Whether every unit of `request` is among `units`."""
    return bool(np.isin(np.asarray(owners)[np.asarray(request)], units).all())


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
