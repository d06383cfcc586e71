"""Certified removal (Guo, Goldstein, Hannun, van der Maaten, ICML 2020): Newton steps until the gradient is small."""

from dataclasses import dataclass
from typing import Any

from certunl.base import Key
from certunl.bounds import theorems
from certunl.bounds.linear_risk import linear_risk
from certunl.certificates.update import Unlearner, Update
from certunl.errors import plain_numbers
from certunl.methods._descent import check, descend, tolerance_of
from certunl.methods._updated import updated
from certunl.solvers import CG, Solver
from certunl.timing import Stopwatch
from certunl.training.run import Run

__all__ = ["CertifiedRemoval"]

_CG = CG(tol=1e-2)


@dataclass(frozen=True, kw_only=True)
class CertifiedRemoval(Unlearner):
    """w <- w − H⁻¹ grad L(w, retained) from the trained w until ‖grad L(w, retained)‖ <= `tolerance`.

    It applies to softmax and least-squares regression with weight decay or l2. L is the risk that retraining minimises
    (`risk.Risk`). The gradient is measured at the released point in float64, and its rounding is bounded. The distance
    bound is then tolerance/mu (`bounds.residual`), mu the strong convexity. The bound depends on settings alone, so it
    is the same for every request and all data. It needs weight decay and nothing else to be PROVED. Inputs need no
    bound, because the proof uses only convexity. With a ball, the reference is the minimiser over the ball. With l2 and
    denominator="batch", mu follows from the sizes alone: every example ever forgotten counts as trained on.

    The measured gradient only decides whether the update passes. It is stored in `Update.cost`, which the owner keeps.
    It is measured anew for each request, so distances do not add up over requests. If `Diverged` is raised, retrain to
    the minimiser and release that. Anyone who learns that it was raised learns something about the data.
    `PerturbedRemoval` is the method as published.

    Args:
        tolerance: largest gradient norm that passes. Choose it before any request. Default: mu/100, a distance of 0.01.
            Gradients are float64, so only the rounding of the parameters limits how small it can be.
        steps: largest number of Newton steps. At least one is tried. A step that does not lower the gradient norm is
            shortened, and each try counts.
        solver: `CG` or `Dense`, which solve on the full data.

    Source: Guo et al. 2020, algorithm 1.  Differs: all residuals are measured, and several steps are taken.
    """

    tolerance: float | None = None
    steps: int = 30
    solver: Solver = _CG

    def __post_init__(self) -> None:
        plain_numbers(self)
        check(self)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """The update at the end of the Newton steps. Only a solver that draws random numbers uses `key`.

        Raises: Diverged if `steps` do not reach the tolerance; BadInput for other problems, and without weight decay or
        l2.
        """
        risk = linear_risk(run, run.retained(run.check(request)))
        tolerance = tolerance_of(self, risk)
        with Stopwatch() as watch:
            end = descend(risk, run.params, None, tolerance, int(self.steps), self.solver, key)
        guarantee = theorems.tested_residual(risk, tolerance)
        return updated(run, end.params, watch, "certified_removal", guarantee, request=request, cost=end.cost)
