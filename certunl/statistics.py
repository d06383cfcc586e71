"""One stored vector per unit: what `HessianFree.prepare` gathers, and deletion adds up."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from certunl.typing import BadInput, Params

__all__ = ["Statistics", "positions"]


@struct.dataclass
class Statistics:
    """One row per unit: `rows` is a pytree like params with a leading axis m; `units i32[m]`, sorted, names the unit
    of each row, `owners i32[n]` the unit of each example (itself, where the data name no owners); `start` are the
    parameters that the training they belong to started from."""

    rows: Params
    units: jax.Array
    owners: jax.Array
    start: Params

    def covers(self, request: Any) -> bool:
        """Whether every unit of `request` has a row."""
        return bool(np.isin(np.asarray(self.owners)[np.asarray(request)], self.units).all())

    def correction(self, request: Any) -> Params:
        """The sum of the rows of `request`: what forgetting it adds to the parameters; a pytree like params.

        Raises: BadInput where a unit has no row, or the request names only a part of an owner.
        """
        return _sum_rows(self.rows, jnp.asarray(positions(request, self.units, self.owners)))


@jax.jit
def _sum_rows(rows: Params, indices: jax.Array) -> Params:
    return jax.tree.map(lambda leaf: jnp.sum(leaf[indices], axis=0), rows)


def positions(request: Any, units: Any, owners: Any) -> np.ndarray:
    """Where in the sorted `units i32[m]` the units of `request` (example ids) stand; `owners i32[n]` as in Statistics.

    Raises: BadInput where a unit has no row, or the request names only a part of an owner.
    """
    owners, units = np.asarray(owners), np.asarray(units)
    ids = np.unique(np.asarray(request, np.int64))
    if not ids.size or ids[0] < 0 or ids[-1] >= len(owners):
        raise BadInput(f"a request names examples 0 to {len(owners) - 1}, got {np.asarray(request).tolist()}")
    asked = np.unique(owners[ids])
    rows = np.minimum(np.searchsorted(units, asked), len(units) - 1)
    if (missing := asked[units[rows] != asked]).size:
        raise BadInput(f"no statistics were prepared for unit {missing[0]}; prepare it, or pass prepared=None")
    members = np.flatnonzero(np.isin(owners, asked))
    if len(members) != len(ids):
        left = np.setdiff1d(members, ids)[0]
        raise BadInput(
            f"statistics are kept per owner: the request names a part of owner {owners[left]} but not its example "
            f"{left}; name all of the owner, or pass prepared=None"
        )
    return rows
