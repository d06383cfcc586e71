"""The two orders in which rows are gathered, into memory or into a store."""

import contextlib
import warnings
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from certunl.base import Params, Progress
from certunl.errors import BadInput, one_of, whole
from certunl.rows import gathering
from certunl.rows._rows import Rows
from certunl.rows.files import Place
from certunl.rows.origin import Origin, fingerprint
from certunl.rows.statistics import Statistics
from certunl.rows.store import Store
from certunl.training.hosts import meet
from certunl.training.mesh import own_devices, together
from certunl.training.products import PRODUCTS
from certunl.training.run import Run
from certunl.training.workers import chunk_size, workers

__all__ = ["FORWARD", "Backward", "Forward", "Gatherer", "chosen", "gathered", "named", "stored"]


@dataclass(frozen=True)
class Forward:
    """Rows follow the schedule forward in chunks, on every core or device.

    Args:
        chunk: number of units that follow the schedule together. Default: as many as a CPU's cache or an
            accelerator's memory allows, with all devices ending together.
        products: "bfloat16" rounds the operands of the products with a row to bfloat16. The products are summed in the
            type of the parameters, in which rows are also kept and added up, and training is followed as it was. On
            TPUs such a product takes one pass for six; on a CPU it is slower. benchmarks/README.md has the error of
            such rows. One vector for a request, without rows, is exact in any case. A bound with `assumed` is no
            smaller for it and still holds, because it adds the measured distance of the update from the exact rows.
            Default: the full precision of the parameters.
    """

    chunk: int | None = None
    products: str | None = None

    def __post_init__(self) -> None:
        whole("", chunk=self.chunk)
        one_of((None, *PRODUCTS), products=self.products)

    def kind(self, form: str) -> str:
        """The words by which rows of `form` are told from rows of another precision."""
        return form if self.products is None else f"{form}, products in {self.products}"

    def size(self, run: Run, units: int) -> int:
        """The number of units in a chunk. Raises: BadInput if `products` would change nothing for such parameters."""
        if self.products is not None and all(leaf.dtype.itemsize <= 2 for leaf in jax.tree.leaves(run.start)):
            raise BadInput(f"products={self.products!r} changes nothing for parameters of 16 bits; leave it out")
        return min(self.chunk or chunk_size(run, units), units)

    def rows(
        self, run: Run, owners: np.ndarray, units: np.ndarray, form: str, old: Rows | None, progress: Progress | None
    ) -> Params:
        """The rows of `units`. They start as the rows of `old`, or as zeros without `old`."""
        size = self.size(run, len(units))
        settings = {"form": form, "products": self.products, "old": old, "progress": progress}
        return gathering.forward(run, owners, units, size, **settings)


@dataclass(frozen=True)
class Backward:
    """One row of the transition matrix per parameter goes backward along the schedule.

    This is cheaper than `Forward` if there are fewer parameters than units. It gathers rows of form "first_order"
    only, and only into memory.
    """

    def kind(self, form: str) -> str:
        """`form` itself: the rows are those of `Forward()`."""
        return form

    def rows(
        self, run: Run, owners: np.ndarray, units: np.ndarray, form: str, old: Rows | None, progress: Progress | None
    ) -> Params:
        """The same rows as `Forward` gathers, from zeros. `old` is ignored, because `repair` refuses `Backward`."""
        return gathering.backward(run, owners, units)


Gatherer = Forward | Backward
FORWARD = Forward()


def chosen(gather: Gatherer, form: str, order: str | None, chunk: int | None) -> Gatherer:
    """`gather`, or the gatherer that the settings `order` and `chunk` of version 0.1 stand for.

    Raises: BadInput if the settings contradict each other.
    """
    if order is not None or chunk is not None:
        one_of((None, "forward", "backward"), order=order)
        if gather != Forward() or (order == "backward" and chunk is not None):
            raise BadInput("order and chunk are gather=Forward(chunk=...) or gather=Backward() since 0.2; give one")
        gather = Backward() if order == "backward" else Forward(chunk)
        new = f"HessianFree(order=..., chunk=...) is HessianFree(gather={gather}) since 0.2"
        warnings.warn(new, DeprecationWarning, stacklevel=4)
    if not isinstance(gather, Forward | Backward):
        raise BadInput(f"gather must be Forward(chunk=...) or Backward(), got {gather!r}")
    if isinstance(gather, Backward) and form != "first_order":
        raise BadInput('only rows of form "first_order" can be gathered backward; use gather=Forward()')
    return gather


def named(units: Any) -> tuple[int, ...] | None:
    """The sorted ids of the tracked units. Raises: BadInput if `units` is empty or not of whole numbers."""
    if units is None:
        return None
    ids = np.unique(np.asarray(units))
    if not ids.size:
        raise BadInput("units is empty; name at least one, or None for all")
    if not np.issubdtype(ids.dtype, np.integer):
        raise BadInput(f"units must be whole numbers, got {units!r}")
    return tuple(ids.tolist())


def gathered(
    gather: Gatherer,
    run: Run,
    origin: Origin,
    *,
    units: tuple[int, ...] | None,
    form: str,
    along: Run | None = None,
    old: Rows | None = None,
    progress: Progress | None = None,
) -> Statistics:
    """The rows of `run`, in memory.

    Args:
        units: the tracked units. Default: all units of the data, or those of `old`.
        along: the run whose schedule is followed. Default: `run`.
        old: the rows that the new ones start from. Default: zeros.
    """
    owners, ids, whole = gathering.tracked(run, units if old is None else tuple(old.units.tolist()))
    rows = gather.rows(along or run, owners, ids[whole], form, old, progress)
    return Statistics(rows=rows, units=ids[whole], owners=owners, origin=origin)


def stored(
    gather: Gatherer,
    run: Run,
    origin: Origin,
    place: Place,
    *,
    units: tuple[int, ...] | None,
    form: str,
    kind: str,
    dtype: str | None = None,
    along: Run | None = None,
    old: Rows | None = None,
    progress: Progress | None = None,
) -> Store:
    """The same rows, in a store of `kind` at `place`. Several processes write the chunks together, each its own."""
    if not isinstance(gather, Forward):
        raise BadInput("a store is filled forward, chunk by chunk: use gather=Forward()")
    owners, ids, whole = gathering.tracked(run, units if old is None else tuple(old.units.tolist()))
    mark, processes = fingerprint(run), together()
    rank = jax.process_index() if processes > 1 else 0
    settings: dict[str, Any] = {"form": form, "products": gather.products, "old": old, "progress": progress}

    def wait(what: str, limited: bool = True) -> None:
        if processes > 1:
            meet(what, limited=limited)

    with own_devices() if processes > 1 else contextlib.nullcontext():
        size = gather.size(run, len(ids))
        if rank == 0:
            chunk = min(size * len(workers(run)), -(-len(ids) // processes))
            store = Store.create(place, run.start, ids, owners, chunk=chunk, fingerprint=mark, dtype=dtype, form=kind)
        wait("the store is made")
        if rank:
            store = Store.joined(place, run.start, mark, kind)
        with contextlib.closing(store):
            if rank == 0:
                store.drop(ids[~whole])
            wait("useless rows are erased")
            store.look()
            chunks = store.missing()[rank::processes]
            wait("the missing chunks are known")
            gathering.fill(store, along or run, owners, size, chunks=chunks, **settings)
            wait("the rows are written", limited=False)
            store.look()
    store.origin = origin
    return store
