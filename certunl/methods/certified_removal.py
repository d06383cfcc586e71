"""Certified removal (Guo, Goldstein, Hannun, van der Maaten, ICML 2020): Newton steps until the gradient is small."""

from dataclasses import dataclass
from typing import Any

from certunl.base import Key
from certunl.bounds import theorems
from certunl.bounds.linear_risk import linear_risk
from certunl.certificates.update import Unlearner, Update
from certunl.methods._descent import check, descend, tolerance_of
from certunl.methods._updated import updated
from certunl.solvers import CG, Solver
from certunl.timing import Stopwatch
from certunl.training.run import Run

__all__ = ["CertifiedRemoval"]

_CG = CG(tol=1e-2)


@dataclass(frozen=True, kw_only=True)
class CertifiedRemoval(Unlearner):
    """w <- w − H⁻¹ grad L(w, retained) from the trained w until ‖grad L(w, retained)‖ <= `tolerance`, for softmax and
    least-squares regression with weight decay (or l2); L is the risk retraining minimises (`risk.Risk`).

    The gradient is measured at the released point, in float64 with its rounding bounded, so the bound is
    tolerance/mu (`bounds.residual`), mu the strong convexity: settings alone, whoever asks and whatever the data, and
    PROVED with weight decay and nothing else; inputs need no bound, since convexity is all that enters. `tolerance` is
    by default mu/100, a distance of 0.01: choose it before any request. What is measured decides only whether the
    update passes (and is kept in the update's cost, the owner's). It is measured anew for each request, so nothing
    adds up.
    At least one step is taken; one that does not lower the gradient is shortened, and counts among the `steps`.
    `solver` solves on the full data (`CG`, `Dense`). Gradients are float64, so only the parameters' own rounding limits
    how small they become. Where `Diverged` is raised, retrain to the minimiser and release that: who learns that it was
    raised learns about the data. With l2 and denominator="batch", mu follows from the sizes alone: everyone ever
    forgotten counts as trained on. With a ball, the reference is the minimiser over it.
    `PerturbedRemoval` is the method as published.
    Source: Guo et al. 2020, algorithm 1.  Differs: all residuals are measured, and several steps are taken.
    """

    tolerance: float | None = None
    steps: int = 30
    solver: Solver = _CG

    def __post_init__(self) -> None:
        check(self)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """`key` is for a solver that draws. Raises: Diverged where `steps` do not reach the tolerance; BadInput for
        other problems, and without weight decay or l2."""
        risk = linear_risk(run, run.retained(run.check(request)))
        tolerance = tolerance_of(self, risk)
        with Stopwatch() as watch:
            end = descend(risk, run.params, None, tolerance, int(self.steps), self.solver, key)
        guarantee = theorems.tested_residual(risk, tolerance)
        return updated(run, end.params, watch, "certified_removal", guarantee, cost=end.cost)
