"""Hessian-free online unlearning (Qiao et al., ICLR 2025): one stored vector per unit, deletion is an addition."""

from dataclasses import InitVar, dataclass
from typing import Any, ClassVar

import jax

from certunl.base import Key, Params, Progress
from certunl.bounds import HessianFreeConstants, theorems
from certunl.bounds.theorems.assumed import check_assumed
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, one_of, whole
from certunl.methods._updated import updated
from certunl.rows import Rows
from certunl.rows.gatherers import FORWARD, Gatherer, chosen, gathered, named, stored
from certunl.rows.origin import Origin, fingerprint
from certunl.rows.repair import repair
from certunl.rows.statistics import Statistics
from certunl.rows.store import Place, Store
from certunl.timing import Stopwatch
from certunl.training import sensitivity
from certunl.training.run import Run
from certunl.training.sensitivity import FORMS

__all__ = ["HessianFree"]


@dataclass(frozen=True, kw_only=True)
class HessianFree(Unlearner):
    """a_u = −d(training)/d(presence of u): with the real step s' = F(s, presence), along the whole schedule

        a' = (dF/ds) a − (dF/dpresence) 1_u,   a_0 = 0;   forgetting U adds sum_{u in U} a_u.

    For plain SGD this is the paper's recursion a' = (I − rate H) a + (rate/|B|) g_u. As the derivative of the step that
    was taken, it holds for clipping, projection, momentum and Adam as well. Without `prepared`, `forget` computes the
    one vector of its request.

    The form "retained" takes the step without u instead of F's derivatives, a' = (dF_u/ds) a + F_u(s) − F(s). A row
    then leaves u's own curvature out, and is exact for one deletion on quadratics; the vector of a request leaves the
    whole request's curvature out, at twice the cost. Rows add up in either form, single vectors only in the first.

    Args:
        units: the examples, or owners where the data have them, whose rows `prepare` gathers. Default: all.
        form: "first_order" (default) or "retained".
        gather: `Forward(chunk=...)` (default) or `Backward()`, which give the same rows.
        assumed: the constants of the theorem (`bounds.HessianFreeConstants`), or "linear" for those in closed form
            (softmax and least-squares regression). Default, and for any recipe but plain SGD: no theorem.
        capacity: for how many examples, whoever they are, the bound is to hold. Noise for it does not depend on the
            request. Default: the bound is of the request.

    Source: Qiao et al. 2025, Algorithm 1 and Theorem 1.  Differs: the factor of a step comes before its injection, as
    in the paper and unlike its code; with `Recipe.radius` the sum is projected only for release.
    """

    keeps_rows: ClassVar[bool] = True
    stores_rows: ClassVar[bool] = True

    units: Any = None
    form: str = "first_order"
    gather: Gatherer = FORWARD
    assumed: HessianFreeConstants | str | None = None
    capacity: int | None = None
    order: InitVar[str | None] = None
    chunk: InitVar[int | None] = None

    def __post_init__(self, order: str | None, chunk: int | None) -> None:
        object.__setattr__(self, "units", named(self.units))
        one_of(FORMS, form=self.form)
        object.__setattr__(self, "gather", chosen(self.gather, self.form, order, chunk))
        check_assumed(self.assumed)
        whole("", capacity=self.capacity)
        if self.capacity is not None and self.assumed is None:
            raise BadInput("capacity says for how many the bound holds: give assumed as well, or leave capacity out")

    def prepare(self, run: Run, *, progress: Progress | None = None) -> Statistics:
        """The rows of all tracked units, chunk by chunk; each chunk is one program over the whole schedule.

        Raises: BadInput for unknown units; Diverged when the derivative of training left the finite numbers.
        """
        return gathered(self.gather, run, self._origin(run), units=self.units, form=self.form, progress=progress)

    def store(self, run: Run, place: Place, *, dtype: str | None = None, progress: Progress | None = None) -> Store:
        """The same rows on disk, as `dtype` (default: the parameters'), in a folder or a URL such as gs://bucket/rows.

        They are written as they are made, so that memory holds one chunk for each core or device. A store that was
        begun earlier is continued: a kill loses the chunks that were being gathered or written.
        Raises: as `prepare`; BadInput where `place` holds other rows.
        """
        settings = {"units": self.units, "form": self.form, "kind": self.form, "dtype": dtype, "progress": progress}
        return stored(self.gather, run, self._origin(run), place, **settings)

    def open(self, run: Run, place: Place, *, carried: bool = False) -> Store:
        """The store of `run` in `place`, as far as it was filled; `carried`: by `repair`.

        Raises: BadInput where it holds other rows.
        """
        store = Store.open(place, run.start, fingerprint(run), _carried(self.form) if carried else self.form)
        store.origin = self._origin(run)
        return store

    def forget(self, run: Run, prepared: Rows | None, request: Any, key: Key) -> Update:
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
        prepared: Rows,
        key: Key,
        *,
        epochs: int = 1,
        learning_rate: float | None = None,
        place: Place | None = None,
        progress: Progress | None = None,
    ) -> tuple[Run, Rows]:
        """(the run trained on for `epochs` more on who is left, the remaining rows carried on along it): `rows.repair`.

        Raises: BadInput where the rows are another run's; Diverged when training or the rows left the finite numbers.
        """
        self.check(run, prepared)
        settings = {"epochs": epochs, "learning_rate": learning_rate, "place": place, "progress": progress}
        settings |= {"gather": self.gather, "form": self.form, "kind": _carried(self.form), "method": self._name}
        return repair(run, prepared, key, **settings)

    def check(self, run: Run, prepared: Rows) -> None:
        """Raises BadInput where `prepared` are rows of another run, method or form."""
        if not prepared.belongs(self._origin(run)):
            raise BadInput("these statistics belong to another run, method or form; prepare this one")

    @property
    def _name(self) -> str:
        return f"hessian_free, {self.form}"

    def _origin(self, run: Run) -> Origin:
        return Origin.of(run, self._name)


def _carried(form: str) -> str:
    """The kind of a store of rows that went through a repair."""
    return f"{form}, carried on through a repair"


@jax.jit
def _added(params: Params, correction: Params) -> Params:
    return jax.tree.map(lambda p, a: p + a.astype(p.dtype), params, correction)
