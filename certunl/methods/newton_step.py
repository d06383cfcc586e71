"""The Newton step of Sekhari et al. 2021: exact where the risk is a quadratic and training reached its minimum."""

from dataclasses import dataclass, replace
from typing import Any

from certunl import rooms
from certunl.certificate import Update
from certunl.methods._definite import check, explained, solver_for
from certunl.training import Run
from certunl.typing import Diverged, Key, Progress, Solver

__all__ = ["NewtonStep"]


@dataclass(frozen=True, kw_only=True)
class NewtonStep:
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

    def prepare(self, run: Run, *, progress: Progress | None = None) -> None:
        """Nothing to prepare: the Hessian is that of those who stay."""

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """`key` matters only to the sentence of a refusal.

        Raises: Diverged, with the damping that it would take, where H + damping I is not positive definite.
        """
        newton = rooms.build(
            "methods",
            "newton",
            gradient="forgotten",
            damping=self.damping,
            operator=self.operator,
            solver=solver_for(self, run.params),
        )
        try:
            update = newton.forget(run, None, request, key)
        except Diverged as error:
            retained = run.retained(run.check(request))
            raise explained(error, run, retained, self.damping, self.operator, key) from error
        return replace(update, method="newton_step")
