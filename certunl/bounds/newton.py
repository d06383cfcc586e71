"""One damped Newton step with an estimated inverse (Zhang et al., ICML 2024)."""

import math
from dataclasses import dataclass

from certunl.certificate import Assumption
from certunl.typing import BadInput

__all__ = ["NewtonConstants", "newton_bound"]


@dataclass(frozen=True, kw_only=True)
class NewtonConstants:
    """What Theorem 3.6 needs and no code can see in a deep network; the user answers for each.

    `smoothness` L and `hessian_lipschitz` M: Lipschitz constants of the gradient and the Hessian of each example's
    loss (without the recipe's weight decay); `smallest_eigenvalue` lambda_min of the (mini-batch) Hessians of the
    retained risk; `gradient_residual` G >= ‖grad L(w~*, D_r)‖ at the reference; `failure_probability` rho of the
    randomised inverse.
    """

    smoothness: float
    hessian_lipschitz: float
    smallest_eigenvalue: float
    gradient_residual: float
    failure_probability: float

    def __post_init__(self) -> None:
        for name in ("smoothness", "hessian_lipschitz", "gradient_residual"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BadInput(f"{name} must be a number of at least 0, got {getattr(self, name)}")
        if not math.isfinite(self.smallest_eigenvalue):
            raise BadInput(f"smallest_eigenvalue must be finite, got {self.smallest_eigenvalue}")
        if not 0 < self.failure_probability < 1:
            raise BadInput(f"failure_probability must lie between 0 and 1, got {self.failure_probability}")


def newton_bound(
    constants: NewtonConstants,
    *,
    radius: float,
    damping: float,
    dimension: int,
    weight_decay: float = 0.0,
    shift: float = 0.0,
    residual: float | None = None,
) -> tuple[float, tuple[Assumption, ...]]:
    """‖w~ − w~*‖ for one damped Newton step in the ball of `radius`, w.p. >= 1 − rho:

        (16 √ln(d/rho) / (lambda + lambda_min) + 1/16)(2 L C + G)  +  (2 C (M C + lambda) + G)/(lambda + lambda_min)

    with L + weight_decay for L (the risk's own decay is not part of any example's loss).
    `shift` = ‖v − grad L(w, D_r)‖ for a step along another v than the retained gradient (forms "difference" and
    "forgotten"): G grows by it in the first term and the second by shift/(lambda + lambda_min), because the solution is
    linear in v. It is measured for one request.
    The first term is the estimated inverse, the second the exact one. It never falls below 2 C while
    lambda_min <= M C: on a non-convex network it is no better than doing nothing. `residual` = ‖v − (H + lambda I) x‖
    on the full retained data, where a deterministic solver measured it, replaces the first term by
    residual/(lambda + lambda_min), with no failure probability.
    Source: Zhang et al. 2024, Theorem 3.6 and Proposition 4.1 (as printed: it drops repeats >= 1 and scale >= 1 from
    the LiSSA lemma, and asks lambda + lambda_min to bound every mini-batch Hessian and enough depth).
    Raises: BadInput unless damping + smallest_eigenvalue > 0.

    >>> constants = NewtonConstants(smoothness=1, hessian_lipschitz=1, smallest_eigenvalue=0, gradient_residual=0,
    ...                             failure_probability=0.1)
    >>> round(newton_bound(constants, radius=21, damping=2000, dimension=11_171_274)[0], 3)
    46.512
    """
    gap = damping + constants.smallest_eigenvalue
    if constants.smallest_eigenvalue > constants.smoothness + weight_decay:
        raise BadInput("smallest_eigenvalue exceeds smoothness + weight_decay, which bounds every eigenvalue")
    if not gap > 0:
        raise BadInput(
            f"the bound needs damping + smallest_eigenvalue > 0, got {damping} + {constants.smallest_eigenvalue}"
        )
    L, M, G, C = constants.smoothness + weight_decay, constants.hessian_lipschitz, constants.gradient_residual, radius
    rho = constants.failure_probability
    step = (2 * C * (M * C + damping) + G + shift) / gap
    if residual is None:
        solve = (16 * math.sqrt(math.log(dimension / rho)) / gap + 1 / 16) * (2 * L * C + G + shift)
        solved = (
            Assumption("L", L, "given", "Lipschitz constant of the gradient of each loss, plus weight decay"),
            Assumption("rho", rho, "given", "failure probability of the estimated inverse"),
        )
    else:
        solve = residual / gap
        solved = (Assumption("residual", residual, "estimated", "norm left by the solver, for this request"),)
    return solve + step, (
        Assumption("C", C, "proved", "radius of the ball, projected after each step"),
        Assumption("lambda", damping, "proved", "damping of the solved system"),
        Assumption("M", M, "given", "Lipschitz constant of the Hessian of each loss"),
        Assumption("lambda_min", constants.smallest_eigenvalue, "given", "smallest eigenvalue of mini-batch Hessians"),
        Assumption("G", G, "given", "gradient norm of the retained risk at the reference"),
        Assumption("shift", shift, "estimated", "norm of the gradient left out of the step, for this request"),
        *solved,
    )
