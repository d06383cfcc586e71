"""Statistics on disk: one row per unit, for as many rows as do not fit in memory; what is erased stays erased.

PLACE/store.json has the format, fingerprint, settings, shapes, units and owners; the rest is the rows (see shards.py:
personal data, keep secret).
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from certunl.base import Params, width
from certunl.errors import BadInput
from certunl.rows import packing
from certunl.rows.origin import Origin
from certunl.rows.shards import Shards
from certunl.rows.statistics import asked, covered, positions

__all__ = ["Place", "Store"]

Place = str | Path

_FORMAT = 2  # 1: fingerprints that held the module paths of our own functions


class Store:
    """Rows of units at `place`, a folder or a URL; made by `create` or `open`.

    Reads like `Statistics`: `units` are those that have a row now, `owners i32[n]` the unit of each example, and
    `correction` reads the rows it adds and nothing else; `origin` is set by the method that fills it. Only a local
    folder is held against a second writer; elsewhere, see to it that there is one. Erased rows are in no file of the
    store: what a file system, its snapshots or a bucket's versions keep of replaced files is out of its reach.
    Checksums find damage, not tampering.
    """

    on_disk: ClassVar[bool] = True

    def __init__(self, shards: Shards, like: Params, expected: dict[str, Any]):
        """What `create` and `open` make: the store in `shards`, whose facts are to be as `expected`."""
        self.place, self._shards, self._like, self._lock = shards.place, shards, like, None
        self.origin: Origin | None = None
        if (facts := shards.note("store.json")) is None:
            raise BadInput(f"there is no store in {self.place}, or a half-written one; prepare the run into it")
        if (found := facts.get("format")) != _FORMAT:
            raise BadInput(f"{self.place} has format {found}, this version reads {_FORMAT}; remove it, prepare again")
        for name, value in expected.items():
            if (found := facts.get(name)) != value:
                both = f" ({found}, not {value})" if isinstance(value, int | str) else ""
                other = "belongs to another run" if name == "fingerprint" else f"is a store of other {name}{both}"
                raise BadInput(f"{self.place} {other}; ask as it was made, or choose another place")
        self._units, self.owners = (np.asarray(facts[name], np.int32) for name in ("units", "owners"))
        self._shards.lay(facts["shape"], facts["chunk"], facts["dtype"])

    @classmethod
    def create(
        cls,
        place: Place,
        like: Params,
        units: Any,
        owners: Any,
        *,
        fingerprint: str,
        chunk: int,
        dtype: str | None = None,
        form: str = "first_order",
    ) -> "Store":
        """A new store, or the same one as it was left (with its own chunk): rows of `form` like `like`, one for each of
        the sorted `units i32[m]`, written `chunk` at a time as `dtype` (default: that of `like`). It is held against
        other writers until every chunk is there, or `close` is called.

        Raises: BadInput where `place` holds a store of another fingerprint or settings, or has another writer.
        """
        units, owners = np.asarray(units), np.asarray(owners)
        if not len(units) or (np.diff(units) <= 0).any() or chunk < 1:
            raise BadInput(f"a store takes sorted units and a chunk of at least 1, got units {units}, chunk {chunk}")
        kind, shape = packing.kept_as(like, dtype), [len(units), width(like)]
        facts = _identity(like, fingerprint, form) | {"dtype": kind}
        facts |= {"units": units.tolist(), "owners": owners.tolist(), "shape": shape}
        shards = Shards(place)
        with contextlib.ExitStack() as lock:
            lock.enter_context(shards.alone())
            if shards.note("store.json") is None:
                if shards.chunks():
                    raise BadInput(f"{place} holds rows, but no store.json says whose; remove it, or choose another")
                shards.lay(shape, int(chunk), kind, new=True)
                shards.keep("store.json", facts | {"chunk": int(chunk)})
            store = cls(shards, like, facts)
            shards.finish()
            if store.missing():
                store._lock = lock.pop_all()
        return store

    @classmethod
    def open(cls, place: Place, like: Params, fingerprint: str, form: str = "first_order") -> "Store":
        """The store at `place`, whole or not; an erasing that was cut short is brought to its end.

        Raises: BadInput where there is none, it is damaged, or it belongs to another run.
        """
        store = cls(Shards(place), like, _identity(like, fingerprint, form))
        if store._shards.interrupted:
            with store._writing():
                pass
        return store

    @property
    def units(self) -> np.ndarray:
        """The units that have a row: written, and not erased."""
        return self._units[self._held()]

    @property
    def dtype(self) -> str:
        """What the rows are kept as."""
        return str(self._shards.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that are there."""
        return len(self) * self._shards.shape[1] * self._shards.dtype.itemsize

    def __len__(self) -> int:
        return len(self._held())

    def belongs(self, origin: Origin) -> bool:
        """Whether a method filled or opened it for that origin."""
        return origin.same(self.origin)

    def covers(self, request: Any) -> bool:
        """Whether `request` is of whole units, each of which has a row."""
        return covered(request, self.units, self.owners)

    def correction(self, request: Any) -> Params:
        """The sum of the rows of `request`: what forgetting it adds to the parameters; a pytree like params.

        Raises: BadInput where a unit has no row or a damaged one, or the request names only a part of an owner.
        """
        held = self._held()
        total = self._shards.sum(held[positions(request, self._units[held], self.owners)])
        if np.isnan(total).any():
            raise BadInput(f"{self.place} lost rows of this request since it was opened; open it again")
        return packing.shaped(total, self._like)

    def read(self, units: Any) -> Params:
        """The rows of `units i32[c]`, a pytree like params with leading axis c.

        Raises: BadInput where one has no row, or a damaged one.
        """
        rows = np.searchsorted(self._units, np.asarray(units))
        values = self._shards.read(np.minimum(rows, len(self._units) - 1))
        if (self._units[np.minimum(rows, len(self._units) - 1)] != units).any() or np.isnan(values).any():
            raise BadInput(f"{self.place} has no row for one of the units {np.asarray(units).tolist()}")
        return packing.shaped(values, self._like)

    def without(self, request: Any) -> "Store":
        """This store, the rows of `request` erased from its files; those not yet written never will be. Units that
        have no row are passed over.

        Raises: BadInput where the request names only a part of an owner, or there is another writer.
        """
        return self.drop(asked(request, self.owners))

    def drop(self, units: Any) -> "Store":
        """This store, the rows of `units` erased from its files. Raises: BadInput where there is another writer."""
        rows = np.isin(self._units, units)
        if (rows & ~self._shards.erased).any():
            with self._writing():
                self._shards.erase(rows)
        return self

    def missing(self) -> list[int]:
        """The chunks not yet written, of those that have members."""
        empty = np.flatnonzero(~(self._shards.written | self._shards.erased))
        return np.unique(empty // self._shards.chunk).tolist()

    def members(self, number: int) -> np.ndarray:
        """The units `i32[c]` of a chunk whose rows `write` expects, in this order: all but the erased."""
        return self._units[self._alive(number)]

    def write(self, number: int, rows: Params) -> None:
        """Writes the rows of `members(number)`, a pytree like params with leading axis c; whole or not at all.

        Raises: BadInput where the shapes are others, a number is not finite, or there is another writer.
        """
        with self._writing():
            alive = self._alive(number)
            flat = packing.flat(rows, self._like, len(alive), self._shards.dtype, f"chunk {number}")
            if len(alive):
                self._shards.write(alive, flat)
        if not self.missing():
            self.close()

    def close(self) -> None:
        """Lets another writer in; this store can still be read."""
        if self._lock is not None:
            self._lock.close()
        self._lock = None

    def _held(self) -> np.ndarray:
        return np.flatnonzero(self._shards.written & ~self._shards.erased)

    def _alive(self, number: int) -> np.ndarray:
        chunk = np.arange(number * self._shards.chunk, min((number + 1) * self._shards.chunk, len(self._units)))
        if number < 0 or not len(chunk):
            raise BadInput(f"{self.place} has no chunk {number}; those to be written are {self.missing()}")
        return chunk[~self._shards.erased[chunk]]

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with contextlib.ExitStack() as lock:
            if self._lock is None:
                lock.enter_context(self._shards.alone())
                self._shards.look()
                self._shards.finish()
            yield


def _identity(like: Params, fingerprint: str, form: str) -> dict[str, Any]:
    return {"format": _FORMAT, "fingerprint": fingerprint, "form": form, "parameters": packing.described(like)}
