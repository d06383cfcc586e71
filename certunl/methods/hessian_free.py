"""Hessian-free online unlearning (Qiao et al., ICLR 2025): one stored vector per unit, deletion is an addition."""

import contextlib
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import jax
import numpy as np

from certunl.base import Key, Params, Progress
from certunl.bounds import HessianFreeConstants, theorems
from certunl.bounds.theorems.assumed import check_assumed
from certunl.certificates.update import Update
from certunl.errors import BadInput
from certunl.methods._continued import continuation
from certunl.methods._updated import updated
from certunl.rows import gathering
from certunl.rows.origin import Origin, fingerprint
from certunl.rows.statistics import Statistics
from certunl.rows.store import Place, Store
from certunl.timing import Stopwatch
from certunl.training import sensitivity
from certunl.training.loop import check_finite, follow
from certunl.training.run import Run
from certunl.training.sensitivity import FORMS
from certunl.training.workers import chunk_size, devices

__all__ = ["HessianFree"]


@dataclass(frozen=True, kw_only=True)
class HessianFree:
    """a_u = −d(training)/d(presence of u): with the real step s' = F(s, presence), along the whole schedule

        a' = (dF/ds) a − (dF/dpresence) 1_u,   a_0 = 0;   forgetting U adds sum_{u in U} a_u.

    For plain SGD this is the paper's recursion a' = (I − rate H) a + (rate/|B|) g_u; being the derivative of the step
    that was taken, it is right for clipping, projection, momentum and Adam as well. `units` (default: all examples, or
    all owners where the data have them) are those whose rows `prepare` gathers, `chunk` how many go through the
    schedule together (default: what fits the cache). Forgetting a request without `prepared` computes its one vector.

    `form` is "first_order" (the above) or "retained", which takes the step without u instead of F's derivatives,
    a' = (dF_u/ds) a + F_u(s) − F(s): a row then leaves u's own curvature out and is exact for one deletion on
    quadratics, at any number of epochs; without `prepared` the whole request's curvature is left out (exact in who is
    present, first order in the change of the state), at twice the cost. Rows add up in either form; single vectors only
    in the first.

    `order` is "forward" (chunks of rows along the schedule) or "backward" (one row of the transition matrix per
    parameter, cheaper where there are fewer parameters than units; first order only); both give the same rows.

    `assumed` are the constants of the theorem (`bounds.HessianFreeConstants`, or "linear": in closed form for softmax
    and least-squares regression); without them, and for any recipe but plain SGD, there is no theorem. `capacity`
    says for how many examples, whoever they are, the bound is to hold: noise for it does not depend on the request. The
    theorem speaks of training plus the vector of everyone gone; it takes one pass to measure how far the update is from
    that, and to add it.
    Source: Qiao et al. 2025, Algorithm 1 and Theorem 1.  Differs: the factor of a step comes before its injection, as
    in the paper and unlike its code; with `Recipe.radius` the sum is projected only for release.
    """

    units: Any = None
    chunk: int | None = None
    form: str = "first_order"
    order: str = "forward"
    assumed: HessianFreeConstants | str | None = None
    capacity: int | None = None

    def __post_init__(self) -> None:
        if self.units is not None:
            units = np.unique(np.asarray(self.units))
            if not units.size:
                raise BadInput("units is empty; name at least one, or None for all")
            if not np.issubdtype(units.dtype, np.integer):
                raise BadInput(f"units must be whole numbers, got {self.units!r}")
            object.__setattr__(self, "units", tuple(units.tolist()))
        if self.chunk is not None and not (isinstance(self.chunk, Integral) and self.chunk >= 1):
            raise BadInput(f"chunk must be a whole number of at least 1, got {self.chunk!r}")
        if self.form not in FORMS:
            raise BadInput(f"form must be one of {', '.join(FORMS)}, got {self.form!r}")
        if self.order not in ("forward", "backward"):
            raise BadInput(f'order must be "forward" or "backward", got {self.order!r}')
        check_assumed(self.assumed)
        if self.capacity is not None and not (isinstance(self.capacity, Integral) and self.capacity >= 1):
            raise BadInput(f"capacity must be a whole number of at least 1, got {self.capacity!r}")
        if self.order == "backward" and self.form != "first_order":
            raise BadInput('only rows of form "first_order" can be gathered backward; leave order at "forward"')

    def prepare(self, run: Run, *, progress: Progress | None = None) -> Statistics:
        """The rows of all tracked units, chunk by chunk; each chunk is one program over the whole schedule.

        Raises: BadInput for unknown units; Diverged when the derivative of training left the finite numbers.
        """
        return self._in_memory(run, run, old=None, progress=progress)

    def store(self, run: Run, place: Place, *, dtype: str | None = None, progress: Progress | None = None) -> Store:
        """The same rows on disk: in `place` (a folder, or a URL such as gs://bucket/rows), as `dtype` (default: the
        parameters'), written as they are made, so that memory holds a chunk for each core or device. A store that was
        begun earlier is gone on with: what a kill loses is the chunk that was being gathered or written, and the blocks
        after it that were on their way, at most one for each core or device.

        Raises: as `prepare`; BadInput where `place` holds other rows.
        """
        return self._on_disk(run, run, place, dtype=dtype, old=None, progress=progress)

    def open(self, run: Run, place: Place, *, carried: bool = False) -> Store:
        """The store of `run` in `place`, as far as it was filled; `carried`: by `repair`.

        Raises: BadInput where it holds other rows.
        """
        store = Store.open(place, run.start, fingerprint(run), self._kind(carried))
        store.origin = self._origin(run)
        return store

    def forget(self, run: Run, prepared: Statistics | Store | None, request: Any, key: Key) -> Update:
        """params + sum of the request's rows; `key` is not used. The sum is left unprojected: requests add up."""
        request = run.check(request)
        with Stopwatch() as watch:
            if prepared is None:
                correction, _ = sensitivity.vector(run, run.present & ~run.retained(request), self.form)
                sensitivity.check_finite(correction)
            else:
                self.check(run, prepared)
                correction = prepared.correction(request)
            params = jax.block_until_ready(_added(run.params, correction))
        settings = {"assumed": self.assumed, "form": self.form, "capacity": self.capacity}
        return updated(run, params, watch, "hessian_free", theorems.hessian_free(run, request, params, **settings))

    def repair(
        self,
        run: Run,
        prepared: Statistics | Store,
        key: Key,
        *,
        epochs: int = 1,
        learning_rate: float | None = None,
        place: Place | None = None,
        progress: Progress | None = None,
    ) -> tuple[Run, Statistics | Store]:
        """(the run trained on for `epochs` more on who is left, the rows of the remaining units carried on along it).

        The repaired run's schedule is the old one and then the new, on which retraining without the forgotten is
        replayed: what is forgotten later is judged by it, and forgotten by the new rows. Those go on from the repaired
        parameters; `prepare` of the repaired run gathers others, along training with everyone. Repair gives accuracy
        back and, where the risk is convex, closeness; it does not make rows that were gathered with others fresh.
        `learning_rate` defaults to that of the run's last step; the optimizer's memory begins anew (in a replay it does
        not: for plain SGD there is none). Rows that came from a store go to a new one at `place`.
        Source: Qiao et al. 2025, unlearning-repairing.
        Raises: BadInput where the rows are another run's; Diverged when training or the rows left the finite numbers.
        """
        self.check(run, prepared)
        if isinstance(prepared, Store) and place is None:
            raise BadInput("rows that are in a store are repaired into a new one; give its place")
        recipe, schedule = continuation(run, np.flatnonzero(run.present), epochs, learning_rate, key)
        going = replace(run, recipe=recipe, start=run.params, schedule=schedule)
        params, risks = jax.block_until_ready(follow(run.problem, recipe, run.params, schedule))
        check_finite(risks, params, recipe)
        repaired = replace(run, schedule=run.schedule.then(schedule), params=params)
        if isinstance(prepared, Store) and place is not None:
            rows = self._on_disk(repaired, going, place, dtype=prepared.dtype, old=prepared, progress=progress)
        else:
            rows = self._in_memory(repaired, going, old=prepared, progress=progress)
        return repaired, rows

    def check(self, run: Run, prepared: Statistics | Store) -> None:
        """Raises BadInput where `prepared` are rows of another run, method or form."""
        if not prepared.belongs(self._origin(run)):
            raise BadInput("these statistics belong to another run, method or form; prepare this one")

    def _origin(self, run: Run) -> Origin:
        return Origin.of(run, f"hessian_free, {self.form}")

    def _kind(self, carried: bool) -> str:
        return f"{self.form}, carried on through a repair" if carried else self.form

    def _size(self, run: Run, units: np.ndarray) -> int:
        return min(self.chunk or chunk_size(run, len(units)), len(units))

    def _tracked(self, run: Run, old: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return gathering.tracked(run, self.units if old is None else tuple(old.units.tolist()))

    def _in_memory(self, run: Run, along: Run, *, old: Any, progress: Progress | None) -> Statistics:
        """The rows of `run`, gathered along the schedule of `along` from the rows `old` (None: zeros)."""
        owners, units, whole = self._tracked(run, old)
        units = units[whole]
        if self.order == "backward" and old is None:
            rows = gathering.backward(along, owners, units)
        else:
            size = self._size(run, units)
            rows = gathering.forward(along, owners, units, size, form=self.form, old=old, progress=progress)
        return Statistics(rows=rows, units=units, owners=owners, origin=self._origin(run))

    def _on_disk(
        self, run: Run, along: Run, place: Place, *, dtype: str | None, old: Any, progress: Progress | None
    ) -> Store:
        """The same, in a store at `place`."""
        if self.order == "backward":
            raise BadInput('a store is filled forward, chunk by chunk; leave order at "forward"')
        owners, units, whole = self._tracked(run, old)
        size = self._size(run, units)
        facts = {"fingerprint": fingerprint(run), "dtype": dtype, "form": self._kind(old is not None)}
        store = Store.create(place, run.start, units, owners, chunk=size * len(devices()), **facts)
        with contextlib.closing(store):
            store.drop(units[~whole])
            gathering.fill(store, along, owners, size, form=self.form, old=old, progress=progress)
        store.origin = self._origin(run)
        return store


@jax.jit
def _added(params: Params, correction: Params) -> Params:
    return jax.tree.map(lambda p, a: p + a.astype(p.dtype), params, correction)
