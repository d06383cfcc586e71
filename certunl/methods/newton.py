"""Newton unlearning (Zhang et al., ICML 2024): damped Newton steps on the retained risk."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from certunl.base import Key
from certunl.bounds import theorems
from certunl.bounds.constants import NewtonConstants
from certunl.bounds.theorems.newton import Chains
from certunl.certificates.guarantee import Guarantee
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, nonnegative, one_of, plain_numbers, whole
from certunl.methods._newton_program import Settings
from certunl.methods._newton_verified import lowered, solved
from certunl.methods._updated import updated
from certunl.solvers import CG, LiSSA, Solution, Solver
from certunl.timing import Stopwatch
from certunl.training.curvature import CURVATURES
from certunl.training.mesh import Worker
from certunl.training.run import Run

__all__ = ["Newton"]

_CG = CG()


@dataclass(frozen=True, kw_only=True)
class Newton(Unlearner):
    """w~ = project(w − (H + damping I)⁻¹ v), H the curvature of the retained risk (`risk.Risk`) at the trained w.

    `gradient` chooses v:

    * "difference" (default): grad L(w, retained) − grad L(w, present), the change that forgetting causes. It equals the
      next two at a stationary point. Elsewhere it is the only one that is 0 for an empty request.
    * "retained": grad L(w, retained), as in the authors' code. It also continues training.
    * "forgotten": −(k/(n−k)) grad L(w, forgotten), the paper's formula. For `denominator="batch"` the divisor does not
      change, so it is −(1/n) times the sum of the forgotten gradients, which is "difference" again.

    `damping` is by default the larger of two numbers:

    * 1/(sum of the run's rates) for "difference" with the optimizer "sgd", a tenth of that with "momentum". Training
      for the rate-time T reaches the share 1 − exp(−m T) of a change along an eigenvalue m, and m/(m + 1/T) is close to
      that. For the other forms and optimizers it is 1/1000 of the largest eigenvalue.
    * 1.5 times the size of the most negative eigenvalue that Lanczos finds on 1,024 retained examples.

    Args:
        damping: multiple of I that is added to the product with H. A larger one gives a shorter step. Default: above.
        solver: `LiSSA` for mini-batches, `CG` or `Dense` for the full data. The residual is always measured on the full
            data.
        gradient: "difference", "retained" or "forgotten".
        operator: the curvature H, "hessian", "ggn" or "fisher". The last two are positive semi-definite, but not the
            paper's, and its theorem does not hold for them.
        steps: number of steps, each from the parameters that the last one gave.
        fallback: "cg" or "dense" solves again if `solver` diverges. Default: `Diverged` is raised.
        assumed: the constants of the bound; "linear" for those in closed form (`bounds.linear`); or "residual" for the
            final float64 gradient norm over mu, measured for this request (`bounds.residual`, for the same problems as
            "linear"). Default, and with neither a ball nor convexity: no theorem.
        inverse: the statement of LiSSA's error, "dimension_free" or the paper's "printed" one.

    Source: Zhang et al. 2024, Algorithm 1.  Differs: projected after the step; damped by product, not in the loss.
    """

    spreads: ClassVar[bool] = True

    damping: float | None = None
    solver: Solver = _CG
    gradient: str = "difference"
    operator: str = "hessian"
    steps: int = 1
    fallback: str | None = None
    assumed: NewtonConstants | str | None = None
    inverse: str = "dimension_free"

    def __post_init__(self) -> None:
        plain_numbers(self)
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
            raise BadInput('assumed="residual" measures the gradient after the step and does not use inverse="printed"')
        if self.steps > 1 and self.gradient == "forgotten":
            raise BadInput('gradient="forgotten" takes one step: a second would remove the request again')
        if not (self.assumed in (None, "linear", "residual") or isinstance(self.assumed, NewtonConstants)):
            raise BadInput(f'assumed must be NewtonConstants(...), "linear" or "residual", got {self.assumed!r}')

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """The update after the steps. One compiled program computes spectrum, gradient, solution, residual and steps.

        Raises: Diverged with the measured facts if the solver diverges, if the result is not finite, or if the damped
        Hessian is indefinite, and where a given damping fails also the measured one if it succeeds; BadInput if fewer
        examples are left than one of the solver's mini-batches has.
        """
        retained = run.retained(run.check(request, key))
        with Stopwatch() as watch:
            params, solution, facts, cost = solved(run, retained, key, self.damping, self._settings, self.fallback)
        if self.assumed == "residual":
            guarantee = theorems.residual(run, ~retained, params)
        else:
            guarantee = self._guarantee(run, facts, solution)
        return updated(run, params, watch, "newton", guarantee, request=request, cost=cost)

    def lower(self, run: Run, worker: Worker) -> Any:
        """The program of `forget` for the devices of `worker`, which need not be there, lowered and not run."""
        return lowered(run, self.damping, self._settings, worker)

    @property
    def _settings(self) -> Settings:
        return Settings(self.solver, self.gradient, self.operator, self.steps)

    def _guarantee(self, run: Run, facts: dict[str, float], solution: Solution) -> Guarantee:
        """The guarantee that `theorems.newton` gives for the last step."""
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
