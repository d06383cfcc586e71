"""The Newton step of Sekhari et al. 2021, exact if the risk is quadratic and training reached its minimum."""

from dataclasses import dataclass
from typing import Any, ClassVar

from certunl.base import Key
from certunl.bounds.theorems.newton import CONSTANTS
from certunl.certificates.guarantee import Guarantee, minimiser
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, Diverged, plain_numbers
from certunl.methods._definite import check, explained, solver_for
from certunl.methods._newton_program import Settings
from certunl.methods._newton_verified import solved
from certunl.methods._updated import updated
from certunl.solvers import Solver
from certunl.timing import Stopwatch
from certunl.training.run import Run

__all__ = ["NewtonStep"]


@dataclass(frozen=True, kw_only=True)
class NewtonStep(Unlearner):
    """w + (H_{S\\U} + damping I)⁻¹ (sum_{u in U} grad l_u(w)) / n_{S\\U}, of the risk that retraining minimises.

    It runs the program of `Newton(gradient="forgotten")`, without automatic damping. H is that of `risk.Risk`, weight
    decay included. n is the number of all examples for `denominator="batch"`, and of the retained examples for
    "retained". In the second case each forgotten gradient contains weight_decay w, its share of the regulariser. `l2`
    is inside each loss in both cases. The bound is None, because there is no theorem away from a minimum.

    Args:
        damping: added to the curvature. A larger one gives a shorter step. Default: 0.
        solver: solves the linear system. Default: `Dense` for at most `max_dimension` parameters, `CG` for more.
        operator: the curvature, "hessian", "ggn" or "fisher".
        max_dimension: largest number of parameters for which `Dense` is the default solver.

    Source: Sekhari et al. 2021, Algorithm 1, without its noise.  Differs: `damping`, 0 by default.
    """

    spreads: ClassVar[bool] = True

    damping: float = 0.0
    solver: Solver | None = None
    operator: str = "hessian"
    max_dimension: int = 2000

    def __post_init__(self) -> None:
        plain_numbers(self)
        check(self)
        if self.solver is not None and self.max_dimension != type(self).max_dimension:
            raise BadInput("max_dimension chooses the default solver: leave it out if you give solver")

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """The update after the step. `key` is used only for an error message.

        Raises: Diverged, with the damping that is needed, if H + damping I is not positive definite.
        """
        retained = run.retained(run.check(request, key))
        settings = Settings(solver_for(self, run.params), "forgotten", self.operator, 1)
        try:
            with Stopwatch() as watch:
                params, _, _, cost = solved(run, retained, key, self.damping, settings)
        except Diverged as error:
            raise explained(error, run, retained, self.damping, self.operator, key) from error
        guarantee = Guarantee(says=None, reference=minimiser(run.recipe.radius), missing=(CONSTANTS,))
        return updated(run, params, watch, "newton_step", guarantee, cost=cost)
