"""Certified removal (Guo, Goldstein, Hannun, van der Maaten, ICML 2020): Newton steps until the gradient is small."""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import jax
import optax
from flax import struct

from certunl.base import Key, Params, Progress
from certunl.bounds import theorems
from certunl.bounds.linear_risk import LinearRisk, linear_risk
from certunl.certificates.calibration import secret_key
from certunl.certificates.update import Update
from certunl.errors import BadInput
from certunl.methods._descent import Descent, descend
from certunl.methods._updated import updated
from certunl.solvers import CG, Solver
from certunl.timing import Stopwatch
from certunl.training.run import Run

__all__ = ["CertifiedRemoval", "Perturbed"]

_CG = CG(tol=1e-2)


@struct.dataclass
class Perturbed:
    """The perturbation `b` of an objective and its minimiser: secret, both of them."""

    b: Params
    params: Params


@dataclass(frozen=True, kw_only=True)
class CertifiedRemoval:
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

    `objective_noise` > 0 is the method as published. `prepare` draws b ~ N(0, objective_noise² I) from the system's
    entropy and finds the minimiser of F_b(w; S) = L(w, S) + <b, w>/n_S; `forget` takes its steps on F_b(.; retained),
    and nothing is added to the release. objective_noise is in the paper's units, those of the *sum* n_S F_b over the
    examples (n_S is the divisor of L): the guarantee is the `Pairs` that the paper
    states of n_S tolerance and objective_noise (`bounds.residual.published_pairs`). Its argument takes the remaining
    gradient for independent of b, which it is not (tests/methods/test_perturbed_objective.py has a case where the
    claimed delta is exceeded): CONDITIONAL at best. One b serves one release, so there is no bound for a run in which
    anyone was forgotten before.
    Source: Guo et al. 2020, algorithm 1.  Differs: all residuals are measured, and several steps are taken.
    """

    tolerance: float | None = None
    steps: int = 30
    objective_noise: float = 0.0
    solver: Solver = _CG

    def __post_init__(self) -> None:
        if self.tolerance is not None and not (isinstance(self.tolerance, Real) and 0 < self.tolerance < math.inf):
            raise BadInput(f"tolerance must be a positive number, or None for mu/100, got {self.tolerance!r}")
        if not (isinstance(self.steps, Integral) and self.steps >= 1):
            raise BadInput(f"steps must be a whole number of at least 1, got {self.steps!r}")
        if not (isinstance(self.objective_noise, Real) and 0 <= self.objective_noise < math.inf):
            raise BadInput(f"objective_noise must be a number of at least 0, got {self.objective_noise!r}")
        if not hasattr(self.solver, "verify") or hasattr(self.solver, "batch_size"):
            raise BadInput(f"solver must be CG() or Dense(), which solve on the full data, got {self.solver!r}")

    def prepare(self, run: Run, *, progress: Progress | None = None) -> Perturbed | None:
        """None without objective_noise; else b and the minimiser of everyone's F_b. Keep it secret, release it once."""
        if not self.objective_noise:
            return None
        _allow(run)
        draw_key, solver_key = jax.random.split(secret_key())
        b = optax.tree.random_like(draw_key, run.params, sampler=jax.random.normal)
        b = jax.tree.map(lambda leaf: self.objective_noise * leaf, b)
        return Perturbed(b, self._descend(linear_risk(run, run.present), run.params, b, solver_key).params)

    def forget(self, run: Run, prepared: Perturbed | None, request: Any, key: Key) -> Update:
        """`key` is for a solver that draws. Raises: Diverged where `steps` do not reach the tolerance; BadInput for
        other problems, without weight decay or l2, and for objective_noise without what `prepare` gives."""
        risk, b, start = linear_risk(run, run.retained(run.check(request))), None, run.params
        if self.objective_noise:
            _allow(run)
            if not isinstance(prepared, Perturbed):
                raise BadInput(
                    "objective_noise needs prepared = method.prepare(run), in the library: its b is a secret"
                )
            b, start = prepared.b, prepared.params
        with Stopwatch() as watch:
            end = self._descend(risk, start, b, key)
        cost = {"residual": end.slope.most, "newton_steps": float(end.steps), "solver_steps": float(end.products)}
        tolerance = self._tolerance(risk)
        if self.objective_noise:
            guarantee = theorems.perturbed_objective(risk, tolerance, self.objective_noise)
        else:
            guarantee = theorems.tested_residual(risk, tolerance)
        return updated(run, end.params, watch, "certified_removal", guarantee, cost=cost)

    def _descend(self, risk: LinearRisk, start: Params, b: Params, key: Key) -> Descent:
        return descend(risk, start, b, self._tolerance(risk), int(self.steps), self.solver, key)

    def _tolerance(self, risk: LinearRisk) -> float:
        return risk.least_convexity / 100 if self.tolerance is None else float(self.tolerance)


def _allow(run: Run) -> None:
    if run.recipe.radius is not None:
        raise BadInput("a perturbed objective has its minimiser anywhere: objective_noise needs a run without radius")
