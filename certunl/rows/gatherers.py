"""The two orders in which rows are gathered, into memory or a store."""

import contextlib
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from certunl.base import Params, Progress
from certunl.errors import BadInput, one_of, whole
from certunl.rows import gathering
from certunl.rows._rows import Rows
from certunl.rows.origin import Origin, fingerprint
from certunl.rows.statistics import Statistics
from certunl.rows.store import Place, Store
from certunl.training.run import Run
from certunl.training.workers import chunk_size, devices

__all__ = ["FORWARD", "Backward", "Forward", "Gatherer", "chosen", "gathered", "named", "stored"]


@dataclass(frozen=True)
class Forward:
    """Rows go along the schedule in chunks, on every core or device.

    Args:
        chunk: units that go through the schedule together. Default: as many as stay in the cache.
    """

    chunk: int | None = None

    def __post_init__(self) -> None:
        whole("", chunk=self.chunk)

    def size(self, run: Run, units: int) -> int:
        """Units to a chunk."""
        return min(self.chunk or chunk_size(run, units), units)

    def rows(
        self, run: Run, owners: np.ndarray, units: np.ndarray, form: str, old: Rows | None, progress: Progress | None
    ) -> Params:
        """The rows of `units`, which begin as those of `old`."""
        size = self.size(run, len(units))
        return gathering.forward(run, owners, units, size, form=form, old=old, progress=progress)


@dataclass(frozen=True)
class Backward:
    """One row of the transition matrix per parameter goes backwards along the schedule.

    It is cheaper where there are fewer parameters than units. It gathers rows of form "first_order", into memory.
    """

    def rows(
        self, run: Run, owners: np.ndarray, units: np.ndarray, form: str, old: Rows | None, progress: Progress | None
    ) -> Params:
        """The same rows as `Forward` gathers; they begin as zeros (`repair` refuses others)."""
        return gathering.backward(run, owners, units)


Gatherer = Forward | Backward
FORWARD = Forward()


def chosen(gather: Gatherer, form: str, order: str | None, chunk: int | None) -> Gatherer:
    """`gather`, or the one that the settings `order` and `chunk` of version 0.1 ask for.

    Raises: BadInput where they do not go together.
    """
    if order is not None or chunk is not None:
        one_of((None, "forward", "backward"), order=order)
        if gather != Forward() or (order == "backward" and chunk is not None):
            raise BadInput("order and chunk are gather=Forward(chunk=...) or gather=Backward() now: give one of these")
        gather = Backward() if order == "backward" else Forward(chunk)
        new = f"HessianFree(order=..., chunk=...) is HessianFree(gather={gather}) since 0.2"
        warnings.warn(new, DeprecationWarning, stacklevel=4)
    if not isinstance(gather, Forward | Backward):
        raise BadInput(f"gather must be Forward(chunk=...) or Backward(), got {gather!r}")
    if isinstance(gather, Backward) and form != "first_order":
        raise BadInput('only rows of form "first_order" can be gathered backward; use gather=Forward()')
    return gather


def named(units: Any) -> tuple[int, ...] | None:
    """The units that are tracked, sorted. Raises: BadInput where they are none, or no whole numbers."""
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
        units: those that are tracked. Default: all of the data's, or those of `old`.
        along: the run whose schedule is followed. Default: `run`.
        old: the rows from which they begin. Default: zeros.
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
    """The same rows, in a store of `kind` at `place`."""
    if not isinstance(gather, Forward):
        raise BadInput("a store is filled forward, chunk by chunk: use gather=Forward()")
    owners, ids, whole = gathering.tracked(run, units if old is None else tuple(old.units.tolist()))
    size = gather.size(run, len(ids))
    facts = {"fingerprint": fingerprint(run), "dtype": dtype, "form": kind}
    store = Store.create(place, run.start, ids, owners, chunk=size * len(devices()), **facts)
    with contextlib.closing(store):
        store.drop(ids[~whole])
        gathering.fill(store, along or run, owners, size, form=form, old=old, progress=progress)
    store.origin = origin
    return store
