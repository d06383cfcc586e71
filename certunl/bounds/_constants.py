"""What Newton's bound needs to know of the losses."""

import math
from dataclasses import dataclass, field

from certunl.typing import BadInput

__all__ = ["NewtonConstants"]


@dataclass(frozen=True, kw_only=True)
class NewtonConstants:
    """What no code can see in a deep network; the user answers for each.

    `smoothness` L and `hessian_lipschitz` M: Lipschitz constants of the gradient and the Hessian of each example's
    loss (without the recipe's weight decay); `smallest_eigenvalue` lambda_min of the (with LiSSA: mini-batch) Hessians
    of the retained risk at the trained parameters, weight decay included; `gradient_residual`
    G >= ‖grad L(w~*, D_r)‖ at the reference w~*; `failure_probability` rho of a randomised inverse;
    `strong_convexity` mu >= 0 of the retained risk everywhere. `estimated` names the constants that were measured
    rather than known, `proved` those that the code derived (`bounds.linear`); certificates say which.
    """

    smoothness: float
    hessian_lipschitz: float
    smallest_eigenvalue: float
    gradient_residual: float
    failure_probability: float
    strong_convexity: float = 0.0
    estimated: tuple[str, ...] = ()
    proved: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        for name in ("smoothness", "hessian_lipschitz", "gradient_residual", "strong_convexity"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BadInput(f"{name} must be a number of at least 0, got {getattr(self, name)}")
        if not math.isfinite(self.smallest_eigenvalue):
            raise BadInput(f"smallest_eigenvalue must be finite, got {self.smallest_eigenvalue}")
        if not 0 < self.failure_probability < 1:
            raise BadInput(f"failure_probability must lie between 0 and 1, got {self.failure_probability}")
        if unknown := set(self.estimated) - set(self.__dataclass_fields__):
            raise BadInput(f"estimated names constants, got {sorted(unknown)[0]!r}")

    def status(self, name: str) -> str:
        """ "proved", "estimated" or "given"."""
        return "proved" if name in self.proved else "estimated" if name in self.estimated else "given"
