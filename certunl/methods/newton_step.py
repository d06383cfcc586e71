"""The Newton step of Sekhari et al. 2021: exact where the risk is a quadratic and training reached its minimum."""

from dataclasses import dataclass
from typing import Any

from certunl.base import Key
from certunl.bounds.theorems.newton import CONSTANTS
from certunl.certificates.guarantee import Guarantee, minimiser
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, Diverged
from certunl.methods._definite import check, explained, solver_for
from certunl.methods._newton_program import Settings, solved
from certunl.methods._updated import updated
from certunl.solvers import Solver
from certunl.timing import Stopwatch
from certunl.training.run import Run

__all__ = ["NewtonStep"]


@dataclass(frozen=True, kw_only=True)
class NewtonStep(Unlearner):
    """w + (H_{S\\U} + damping I)⁻¹ (sum_{u in U} grad l_u(w)) / n_{S\\U}, of the risk that retraining minimises.

    It is `Newton(gradient="forgotten")` without automatic damping, and runs that program: `risk.Risk` with its weight
    decay gives H; n is everyone's number for `denominator="batch"`, the retained ones' for "retained", where each
    forgotten gradient holds its share weight_decay w of the regulariser (as it does for `l2`, inside each loss). There
    is no theorem away from a minimum: the bound is None.
    `solver` defaults to `Dense` up to `max_dimension` parameters, to `CG` above.
    Source: Sekhari et al. 2021, Algorithm 1, without its noise.  Differs: `damping`, 0 by default.
    """

    damping: float = 0.0
    solver: Solver | None = None
    operator: str = "hessian"
    max_dimension: int = 2000

    def __post_init__(self) -> None:
        check(self)
        if self.solver is not None and self.max_dimension != type(self).max_dimension:
            raise BadInput("max_dimension chooses between solvers: leave it out where solver is given")

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """`key` matters only to the sentence of a refusal.

        Raises: Diverged, with the damping that it would take, where H + damping I is not positive definite.
        """
        retained = run.retained(run.check(request))
        settings = Settings(solver_for(self, run.params), "forgotten", self.operator, 1)
        try:
            with Stopwatch() as watch:
                params, _, _, cost = solved(run, retained, key, self.damping, settings)
        except Diverged as error:
            raise explained(error, run, retained, self.damping, self.operator, key) from error
        guarantee = Guarantee(says=None, reference=minimiser(run.recipe.radius), missing=(CONSTANTS,))
        return updated(run, params, watch, "newton_step", guarantee, cost=cost)
