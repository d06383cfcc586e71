"""Hessian-free online unlearning (Qiao et al., ICLR 2025): one stored vector per unit, added to forget the unit."""

from dataclasses import InitVar, dataclass
from typing import Any, ClassVar

import jax

from certunl.base import Key, Params, Progress
from certunl.bounds import HessianFreeConstants, theorems
from certunl.bounds.theorems.assumed import check_assumed
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, one_of, plain_numbers, whole
from certunl.methods._updated import updated
from certunl.rows import Rows
from certunl.rows.files import Place
from certunl.rows.gatherers import FORWARD, Gatherer, chosen, gathered, named, stored
from certunl.rows.origin import Origin, fingerprint
from certunl.rows.repair import repair
from certunl.rows.statistics import Statistics
from certunl.rows.store import Store
from certunl.timing import Stopwatch
from certunl.training import sensitivity
from certunl.training.placing import like, spread_run
from certunl.training.run import Run
from certunl.training.sensitivity import FORMS

__all__ = ["HessianFree"]


@dataclass(frozen=True, kw_only=True)
class HessianFree(Unlearner):
    """Adds the rows a_u = −d(training)/d(presence of u) of the request: params + sum_{u in U} a_u.

    A row follows the training step s' = F(s, presence) along the whole schedule:

        a' = (dF/ds) a − (dF/dpresence) 1_u,   a_0 = 0

    For plain SGD this is the paper's recursion a' = (I − rate H) a + (rate/|B|) g_u. It differentiates the step that
    training takes, so it also covers clipping, projection, momentum and Adam. Without `prepared`, `forget` computes one
    vector for the whole request.

    The form "retained" replaces the derivatives of F by the step F_u without u: a' = (dF_u/ds) a + F_u(s) − F(s). A row
    then leaves out the curvature of u, and is exact for one deletion on quadratics. The vector of a request leaves out
    the curvature of the whole request and costs twice as much. Rows add up in both forms. The vectors of two requests
    add up to the vector of both only in the form "first_order".

    The form "reference" is the order of the authors' code, a' = (dF/ds) (a − (dF/dpresence) 1_u): an injection is
    multiplied by the factor of its own step too. It is there to reproduce published distances. It is less exact, and
    has no theorem. Their clipping of single gradients in the injection is not reproduced.

    Args:
        units: ids of the examples whose rows `prepare` gathers, or of the owners if the data have owners. Default: all.
        form: "first_order" (default), "retained" or "reference".
        gather: `Forward(chunk=...)` (default) or `Backward()`, which give the same rows. `Forward(products="bfloat16")`
            is for TPUs.
        assumed: the constants of the theorem (`bounds.HessianFreeConstants`), or "linear" for those in closed form
            (softmax and least-squares regression). Default, and for any recipe but plain SGD: no theorem.
        capacity: number of examples for which the bound holds, whichever examples they are. Unless a constant was
            measured on the data, the noise for that bound does not depend on the request. Default: the bound is that
            of the request.
        order, chunk: settings of version 0.1, replaced by `gather`.

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
        plain_numbers(self)
        object.__setattr__(self, "units", named(self.units))
        one_of(FORMS, form=self.form)
        object.__setattr__(self, "gather", chosen(self.gather, self.form, order, chunk))
        check_assumed(self.assumed)
        if self.form == "reference" and self.assumed is not None:
            raise BadInput('the form "reference" has no theorem; leave assumed out, or use the form "first_order"')
        whole("", capacity=self.capacity)
        if self.capacity is not None and self.assumed is None:
            raise BadInput(
                "capacity is a number of examples for the bound: give assumed as well, or leave capacity out"
            )

    def prepare(self, run: Run, *, progress: Progress | None = None) -> Statistics:
        """The rows of all tracked units, chunk by chunk. Each chunk is one compiled program over the whole schedule.

        Raises: BadInput for unknown units; Diverged if the derivative of training becomes infinite or NaN.
        """
        return gathered(self.gather, run, self._origin(run), units=self.units, form=self.form, progress=progress)

    def store(self, run: Run, place: Place, *, dtype: str | None = None, progress: Progress | None = None) -> Store:
        """The same rows on disk, as `dtype` (default: the parameters'), in a folder or a URL such as gs://bucket/rows.

        Each chunk is written as soon as it is gathered, so memory holds one chunk for each core or device. A later call
        continues an unfinished store. A kill loses only the chunks that were being gathered or written.
        Raises: as `prepare`; BadInput if `place` holds other rows.
        """
        settings = {"units": self.units, "form": self.form, "kind": self.kind, "dtype": dtype, "progress": progress}
        return stored(self.gather, run, self._origin(run), place, **settings)

    def open(self, run: Run, place: Place, *, carried: bool = False) -> Store:
        """The store of `run` in `place`, finished or not; `carried` opens rows that a `repair` wrote.

        Raises: BadInput if it holds other rows.
        """
        store = Store.open(place, run.start, fingerprint(run), _carried(self.kind) if carried else self.kind)
        store.origin = self._origin(run)
        return store

    def forget(self, run: Run, prepared: Rows | None, request: Any, key: Key) -> Update:
        """params + the sum of the request's rows, unprojected, so that later requests can add to it.

        `key` is not used.
        """
        request = run.check(request)
        if prepared is not None:
            self.check(run, prepared)
        run = spread_run(run)
        with Stopwatch() as watch:
            if prepared is None:
                run.need_history("a row")
                correction, _ = sensitivity.vector(run, run.present & ~run.retained(request), self.form)
                sensitivity.check_finite(correction)
            else:
                correction = prepared.correction(request)
            correction = like(correction, run.params)
            params = jax.block_until_ready(like(_added(run.params, correction), run.params))
        sensitivity.warn_of_zeros(run, correction, request)
        settings = {"assumed": self.assumed, "form": self.form, "capacity": self.capacity}
        guarantee = theorems.hessian_free(run, request, params, **settings)
        return updated(run, params, watch, "hessian_free", guarantee, request=request)

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
        """(the run after `epochs` more on the retained examples, the remaining rows carried on along it).

        See `rows.repair`.
        Raises: BadInput if the rows belong to another run; Diverged if training or the rows become infinite or NaN.
        """
        self.check(run, prepared)
        settings = {"epochs": epochs, "learning_rate": learning_rate, "place": place, "progress": progress}
        settings |= {"gather": self.gather, "form": self.form, "kind": _carried(self.kind), "method": self._name}
        return repair(run, prepared, key, **settings)

    def check(self, run: Run, prepared: Rows) -> None:
        """Raises BadInput if `prepared` are rows of another run, method or form."""
        if not prepared.belongs(self._origin(run)):
            raise BadInput("these statistics belong to another run, method or form; call prepare(run) for this run")

    @property
    def _name(self) -> str:
        return f"hessian_free, {self.kind}"

    @property
    def kind(self) -> str:
        """The words by which rows of this form and precision are told from others."""
        return self.gather.kind(self.form)

    def _origin(self, run: Run) -> Origin:
        run.need_history("a row")
        return Origin.of(run, self._name)


def _carried(kind: str) -> str:
    """The kind of a store whose rows went through a repair."""
    return f"{kind}, carried on through a repair"


@jax.jit
def _added(params: Params, correction: Params) -> Params:
    return jax.tree.map(lambda p, a: p + a.astype(p.dtype), params, correction)
