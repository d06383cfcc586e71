"""Statistics on disk or in a bucket, one row per unit, for more rows than fit in memory. Erased rows stay erased.

PLACE/store.json holds the format, fingerprint, settings, shapes, units and owners. The other files hold the rows (see
shards.py). Rows are personal data and must be kept secret.
"""

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import numpy as np

from certunl.base import Params, width
from certunl.errors import BadInput
from certunl.rows import packing
from certunl.rows._facts import facts_of, identity
from certunl.rows.files import Place
from certunl.rows.origin import Origin
from certunl.rows.shards import Shards
from certunl.rows.statistics import asked, covered, positions
from certunl.training.hosts import meet
from certunl.training.mesh import together

__all__ = ["Store"]


class Store:
    """Rows of units at `place`, a folder or a URL. `create` and `open` make a store.

    It has the interface of `Statistics`. `units` are the units that have a row now, `owners i32[n]` the unit of each
    example. `correction` reads only the rows that it adds. The method that fills a store sets its `origin`.

    A folder is locked by its file system, a bucket by an object that lapses 30 s after its writer dies (lease.py). The
    files of a store do not contain erased rows. A file system, its snapshots or a bucket's versions may keep replaced
    files; the store cannot reach those. Checksums detect damage, not tampering.
    """

    on_disk: ClassVar[bool] = True

    def __init__(self, shards: Shards, like: Params, expected: dict[str, Any]):
        """For `create` and `open`: the store in `shards`, whose facts must equal `expected`."""
        self.place, self._shards, self._like, self._lock = shards.files.place, shards, like, None
        self.origin: Origin | None = None
        facts = facts_of(shards.files, expected)
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
        """A new store at `place`, or the unfinished or complete one that is there and keeps its own chunk.

        Other writers are locked out until every chunk is written or `close` is called.

        Args:
            place: a folder, or a URL: gs://bucket/rows, s3://bucket/rows, memory://rows.
            like: a pytree of the parameters' shapes and types.
            units: i32[m], sorted; the units that get a row.
            owners: i32[n]; the unit of each example.
            fingerprint: identity of the run that the rows belong to.
            chunk: number of rows in each file. Erasing a row rewrites its file.
            dtype: type in which rows are stored. Default: that of `like`.
            form: kind of the rows.

        Raises: BadInput if `place` holds a store of another fingerprint or settings, or has another writer.
        """
        units, owners = np.asarray(units), np.asarray(owners)
        if not len(units) or (np.diff(units) <= 0).any() or chunk < 1:
            raise BadInput(f"a store needs sorted units and a chunk of at least 1, got units {units}, chunk {chunk}")
        kind, shape = packing.kept_as(like, dtype), [len(units), width(like)]
        facts = identity(like, fingerprint, form) | {"dtype": kind}
        facts |= {"units": units.tolist(), "owners": owners.tolist(), "shape": shape}
        shards = Shards(place)
        with contextlib.ExitStack() as lock:
            lock.enter_context(shards.files.alone())
            if shards.files.note("store.json") is None:
                if shards.chunks():
                    raise BadInput(f"{place} holds rows, but no store.json; remove it, or choose another place")
                shards.lay(shape, int(chunk), kind, new=True)
                shards.files.keep("store.json", facts | {"chunk": int(chunk)})
            store = cls(shards, like, facts)
            shards.finish()
            if store.missing():
                store._lock = lock.pop_all()
                weakref.finalize(store, store._lock.close)  # while the interpreter can still do so
        return store

    @classmethod
    def open(cls, place: Place, like: Params, fingerprint: str, form: str = "first_order") -> "Store":
        """The store at `place`, complete or not. An interrupted erasure is completed.

        Raises: BadInput if there is no store, it is damaged, or it belongs to another run.
        """
        store = cls(Shards(place), like, identity(like, fingerprint, form))
        if store._shards.interrupted:
            with store._writing():
                pass
        return store

    @classmethod
    def joined(cls, place: Place, like: Params, fingerprint: str, form: str = "first_order") -> "Store":
        """The store that another process of the same call has created and holds. This one writes other chunks to it."""
        store = cls(Shards(place), like, identity(like, fingerprint, form))
        store._lock = contextlib.ExitStack()  # the other process has the lock
        return store

    def look(self) -> None:
        """Reads from the files which chunks there are, after other processes wrote some."""
        self._shards.look()

    @property
    def units(self) -> np.ndarray:
        """The units that have a row, that is written and not erased."""
        return self._units[self._readable()]

    @property
    def dtype(self) -> str:
        """The type in which the rows are stored."""
        return str(self._shards.dtype)

    @property
    def nbytes(self) -> int:
        """Size in bytes of the rows that exist."""
        return len(self) * self._shards.shape[1] * self._shards.dtype.itemsize

    def __len__(self) -> int:
        return len(self._readable())

    def belongs(self, origin: Origin) -> bool:
        """Whether a method filled or opened the store for that origin."""
        return origin.same(self.origin)

    def covers(self, request: Any) -> bool:
        """Whether `request` consists of whole units that all have a row."""
        return covered(request, self.units, self.owners)

    def correction(self, request: Any) -> Params:
        """The sum of the rows of `request`, a pytree like params. Forgetting the request adds it to the parameters.

        Raises: BadInput if a unit has no row or a damaged one, or the request names only part of an owner.
        """
        rows = self._readable()
        total = self._shards.sum(rows[positions(request, self._units[rows], self.owners)])
        if np.isnan(total).any():
            raise BadInput(f"{self.place} lost rows of this request after it was opened; open it again")
        return packing.shaped(total, self._like)

    def read(self, units: Any) -> Params:
        """The rows of `units i32[c]`, a pytree like params with leading axis c.

        Raises: BadInput if a unit has no row, or a damaged one.
        """
        rows = np.searchsorted(self._units, np.asarray(units))
        values = self._shards.read(np.minimum(rows, len(self._units) - 1))
        if (self._units[np.minimum(rows, len(self._units) - 1)] != units).any() or np.isnan(values).any():
            raise BadInput(f"{self.place} has no row for one of the units {np.asarray(units).tolist()}")
        return packing.shaped(values, self._like)

    def without(self, request: Any) -> "Store":
        """This store, after erasing the rows of `request` from its files.

        Rows not yet written never will be. Units without a row are ignored.
        Raises: BadInput if the request names only part of an owner, or there is another writer.
        """
        return self.drop(asked(request, self.owners))

    def drop(self, units: Any) -> "Store":
        """This store, after erasing the rows of `units` from its files. Raises: BadInput if there is another writer.

        Processes that work together make this call together, and process 0 erases.
        """
        processes, rows = together(), np.isin(self._units, units)
        if (rows & ~self._shards.erased).any() and (processes == 1 or jax.process_index() == 0):
            with self._writing():
                self._shards.erase(rows)
        if processes > 1:
            meet("the rows are erased")
            self.look()
        return self

    def check(self) -> None:
        """Reads every row. Raises: BadInput if one is damaged."""
        for rows in np.array_split(self._readable(), 1 + len(self) // self._shards.chunk):
            self._shards.read(rows)

    def missing(self) -> list[int]:
        """The numbers of the chunks that are not written yet and have members."""
        empty = np.flatnonzero(~(self._shards.written | self._shards.erased))
        return np.unique(empty // self._shards.chunk).tolist()

    def members(self, number: int) -> np.ndarray:
        """The units `i32[c]` whose rows `write` expects for this chunk, in this order. Erased units are left out."""
        return self._units[self._alive(number)]

    def write(self, number: int, rows: Params) -> None:
        """Writes the rows of `members(number)`, a pytree like params with leading axis c, completely or not at all.

        Raises: BadInput if the shapes differ, a number is not finite, or there is another writer.
        """
        with self._writing():
            alive = self._alive(number)
            flat = packing.flat(rows, self._like, len(alive), self._shards.dtype, f"chunk {number}")
            if len(alive):
                self._shards.write(alive, flat)
        if not self.missing():
            self.close()

    def close(self) -> None:
        """Releases the lock for another writer. This store can still be read."""
        if self._lock is not None:
            self._lock.close()
        self._lock = None

    def _readable(self) -> np.ndarray:
        return np.flatnonzero(self._shards.written & ~self._shards.erased)

    def _alive(self, number: int) -> np.ndarray:
        chunk = np.arange(number * self._shards.chunk, min((number + 1) * self._shards.chunk, len(self._units)))
        if number < 0 or not len(chunk):
            raise BadInput(f"{self.place} has no chunk {number}; the missing ones are {self.missing()}")
        return chunk[~self._shards.erased[chunk]]

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with contextlib.ExitStack() as lock:
            if self._lock is None:
                lock.enter_context(self._shards.files.alone())
                self._shards.look()  # another writer may have changed the files before this lock
                self._shards.finish()
            yield
