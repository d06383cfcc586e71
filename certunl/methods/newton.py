"""Newton unlearning (Zhang et al., ICML 2024): damped Newton steps on the retained risk."""

import math
from dataclasses import dataclass
from typing import Any

from certunl.base import Key
from certunl.bounds import theorems
from certunl.bounds.constants import NewtonConstants
from certunl.bounds.theorems.newton import Chains
from certunl.certificates.guarantee import Guarantee
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, nonnegative, one_of, whole
from certunl.methods._newton_program import Settings, solved
from certunl.methods._updated import updated
from certunl.solvers import CG, LiSSA, Solution, Solver
from certunl.timing import Stopwatch
from certunl.training.curvature import CURVATURES
from certunl.training.run import Run

__all__ = ["Newton"]

_CG = CG()


@dataclass(frozen=True, kw_only=True)
class Newton(Unlearner):
    """w~ = project(w − (H + damping I)⁻¹ v), H the curvature of the retained risk (`risk.Risk`) at the trained w.

    `gradient` chooses v:

    * "difference": grad L(w, retained) − grad L(w, present): what forgetting changes (default; equal to the next two
      at a stationary point, and the only one that is 0 for an empty request elsewhere);
    * "retained": grad L(w, retained), the authors' code; it also goes on training;
    * "forgotten": −(k/(n−k)) grad L(w, forgotten), the paper's formula; for `denominator="batch"`, where the forgotten
      leave an unchanged divisor, −(1/n) sum of their gradients: "difference" again.

    `operator` is "hessian", "ggn" or "fisher" (positive semi-definite; not the paper's, and without its theorem).
    `damping`, added to the product itself, is by default the larger of

    * 1/(sum of the run's rates) for "difference": training stopped after rate-time T has reached the share
      1 − exp(−m T) of a change along an eigenvalue m, as m/(m + 1/T) nearly does; for the other forms, and optimizers
      other than sgd and momentum, 1/1000 of the largest eigenvalue;
    * 1.5 times the most negative eigenvalue met by Lanczos on 1,024 retained examples.

    `solver` decides between mini-batches (LiSSA) and the full data; the residual is always measured on the full data.
    `fallback` ("cg" or "dense") solves again where `solver` diverged. `steps` > 1 repeats the step from where it led.
    `assumed`: the constants of the bound, or "linear" for those in closed form (`bounds.linear`), or "residual" for the
    float64 gradient where it ended, over mu (`bounds.residual`, same problems): measured for this request; without, or
    with neither a ball nor convexity, there is no theorem. `inverse` is the statement used for LiSSA's error:
    "dimension_free" or the paper's "printed" one.
    Source: Zhang et al. 2024, Algorithm 1.  Differs: projected after the step; damped by product, not in the loss.
    """

    damping: float | None = None
    solver: Solver = _CG
    gradient: str = "difference"
    operator: str = "hessian"
    steps: int = 1
    fallback: str | None = None
    assumed: NewtonConstants | str | None = None
    inverse: str = "dimension_free"

    def __post_init__(self) -> None:
        nonnegative("to measure it", damping=self.damping)
        if not isinstance(self.solver, Solver):
            raise BadInput(f"solver must be one of solvers/ (Dense(), CG(), LiSSA()), got {self.solver!r}")
        whole(steps=self.steps)
        one_of(("difference", "retained", "forgotten"), gradient=self.gradient)
        one_of(CURVATURES, operator=self.operator)
        one_of(("dimension_free", "printed"), inverse=self.inverse)
        one_of((None, "cg", "dense"), fallback=self.fallback)
        if self.fallback is not None and self.fallback == type(self.solver).__name__.lower():
            raise BadInput(f'fallback="{self.fallback}" is the solver itself; leave it out, or name the other one')
        if self.inverse == "printed" and not (isinstance(self.solver, LiSSA) and self.assumed):
            raise BadInput('inverse="printed" states the error of LiSSA in a bound: give solver=LiSSA() and assumed')
        if self.inverse == "printed" and self.assumed == "residual":
            raise BadInput('inverse="printed" has no part in assumed="residual", which measures where the step ended')
        if self.steps > 1 and self.gradient == "forgotten":
            raise BadInput('gradient="forgotten" takes one step: a second would remove the request again')
        if not (self.assumed in (None, "linear", "residual") or isinstance(self.assumed, NewtonConstants)):
            raise BadInput(f'assumed must be NewtonConstants(...), "linear" or "residual", got {self.assumed!r}')

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """One program: spectrum, gradient, solve, residual on the full data, step, projection.

        Raises: Diverged with the measured facts when the solver says so, the result is not finite or the Hessian is
        indefinite under its damping; BadInput where fewer examples are left than one of the solver's mini-batches.
        """
        retained = run.retained(run.check(request))
        with Stopwatch() as watch:
            settings = Settings(self.solver, self.gradient, self.operator, self.steps)
            params, solution, facts, cost = solved(run, retained, key, self.damping, settings, self.fallback)
        if self.assumed == "residual":
            guarantee = theorems.residual(run, ~retained, params)
        else:
            guarantee = self._guarantee(run, facts, solution)
        return updated(run, params, watch, "newton", guarantee, cost=cost)

    def _guarantee(self, run: Run, facts: dict[str, float], solution: Solution) -> Guarantee:
        """What a theorem says of the last step."""
        assert self.assumed != "residual"
        solver, scale, chains = self.solver, float(solution.scale), None
        if isinstance(solver, LiSSA) and math.isfinite(scale):  # NaN where the fallback solved
            chains = Chains(solver.depth, solver.repeats, scale, solver.scale is not None)
        return theorems.newton(
            run,
            facts,
            float(solution.highest),
            chains,
            assumed=self.assumed,
            operator=self.operator,
            gradient=self.gradient,
            damping=self.damping,
            inverse=self.inverse,
        )
