"""Erasing rows from any store, whatever method, form or settings filled it."""

import numpy as np

from certunl.errors import BadInput
from certunl.rows.files import Place
from certunl.rows.shards import Shards
from certunl.rows.store import Store

__all__ = ["check_rows", "erase", "kept"]


def erase(place: Place | Store, ids: np.ndarray) -> int:
    """Erases the rows of the units of `ids` from the store at `place`, or from an open one. The number of rows erased.

    The store may be half filled. Rows not yet written never will be.
    Raises: BadInput if the store is damaged, or has another writer; nothing says then whose rows it holds.
    """
    store = place if isinstance(place, Store) else _opened(place)
    if store is None:
        return 0
    before = len(store)
    store.drop(_units(store, ids))
    return before - len(store)


def kept(place: Place, ids: np.ndarray) -> np.ndarray:
    """The units of `ids` that still have a row in the store at `place`."""
    store = _opened(place)
    return np.zeros(0, np.int32) if store is None else np.intersect1d(store.units, _units(store, ids))


def check_rows(place: Place) -> None:
    """Reads every row of the store at `place`. Raises: BadInput if one is damaged, or its facts are."""
    if (store := _opened(place)) is not None:
        store.check()


def _opened(place: Place) -> Store | None:
    """The store at `place`, opened by its own facts; None if none was begun."""
    shards = Shards(place)
    if shards.files.note("store.json") is None:
        if shards.chunks():
            raise BadInput(f"{place} holds rows, but no store.json, so nothing says whose they are; remove it")
        return None
    return Store(shards, None, {})


def _units(store: Store, ids: np.ndarray) -> np.ndarray:
    return np.unique(store.owners[ids[ids < len(store.owners)]])
