"""The bound on one damped Newton step, in its general form (Zhang et al., ICML 2024)."""

import math

from certunl.bounds.constants import NewtonConstants
from certunl.bounds.inverse import printed_error
from certunl.certificates.guarantee import Assumption
from certunl.errors import BadInput

__all__ = ["newton_bound"]


def newton_bound(
    constants: NewtonConstants,
    *,
    radius: float | None,
    damping: float,
    dimension: int,
    weight_decay: float = 0.0,
    shift: float = 0.0,
    gradient: float | None = None,
    solver: tuple[float, tuple[Assumption, ...]] | None = None,
) -> tuple[float, tuple[Assumption, ...]]:
    """A bound on ‖w~ − w~*‖ for w~ = w − x with x ~ (H + lambda I)⁻¹ v, and any w~* with gradient norm at most G:

        Delta = ‖error of x‖ + (M D²/2 + lambda D + G + shift)/(lambda + lambda_min),   D >= ‖w − w~*‖

    In the ball of `radius` C, D is 2 C. If the risk is mu-strongly convex and `gradient` = ‖grad L(w, D_r)‖ is given,
    D is (gradient + G)/mu. The smaller of the two is used. `shift` = ‖v − grad L(w, D_r)‖ is for steps along another
    v than the retained gradient (forms "difference" and "forgotten"). It enters because x is linear in v, and it is
    measured for one request. `solver` is the error of x with its assumptions, as `residual_error` and the like return
    it. It is (0, ()) for an exact inverse. The default is the paper's estimate, `printed_error`.

    Proof: w~ − w~* = (H + lambda I)⁻¹ {H(w − w~*) − [grad L(w) − grad L(w~*)] + lambda (w − w~*) − grad L(w~*)}. The
    first two terms are an integral of differences of Hessians, of norm at most M D²/2. With D = 2 C the bound is at
    least 2 C while lambda_min <= M C. On a non-convex network it is then no better than doing nothing.
    Source: Zhang et al. 2024, Theorems 3.4 and 3.6, Proposition 4.1.
    Raises: BadInput unless damping + smallest_eigenvalue > 0, and if neither a ball nor convexity gives a D.

    >>> constants = NewtonConstants(smoothness=1, hessian_lipschitz=1, smallest_eigenvalue=0, gradient_residual=0,
    ...                             failure_probability=0.1)
    >>> round(newton_bound(constants, radius=21, damping=2000, dimension=11_171_274)[0], 3)
    46.512
    """
    gap = damping + constants.smallest_eigenvalue
    if constants.smallest_eigenvalue > constants.smoothness + weight_decay:
        raise BadInput("smallest_eigenvalue must not exceed smoothness + weight_decay, which bounds every eigenvalue")
    if not gap > 0:
        raise BadInput(
            f"the bound needs damping + smallest_eigenvalue > 0, got {damping} + {constants.smallest_eigenvalue}"
        )
    M, G, mu = constants.hessian_lipschitz, constants.gradient_residual, constants.strong_convexity
    reach, of_reach = _distance(constants, radius, gradient)
    if solver is None:
        solver = printed_error(
            L=constants.smoothness + weight_decay,
            radius=reach / 2,
            gap=gap,
            dimension=dimension,
            residual=G + shift,
            failure_probability=constants.failure_probability,
            status=constants.status("smoothness"),
        )
    error, of_solver = solver
    bound = error + (M * reach**2 / 2 + damping * reach + G + shift) / gap
    convex = Assumption("mu", mu, constants.status("strong_convexity"), "strong convexity of the retained risk")
    return bound, (
        *of_reach,
        *((convex,) if mu else ()),
        Assumption("lambda", damping, "proved", "damping of the solved system"),
        Assumption("M", M, constants.status("hessian_lipschitz"), "Lipschitz constant of the Hessian of each loss"),
        Assumption(
            "lambda_min",
            constants.smallest_eigenvalue,
            constants.status("smallest_eigenvalue"),
            "smallest eigenvalue of the retained Hessians",
        ),
        Assumption(
            "G", G, constants.status("gradient_residual"), "gradient norm of the retained risk at the reference"
        ),
        Assumption("shift", shift, "estimated", "norm of the gradient that the step leaves out, for this request"),
        *of_solver,
    )


def _distance(
    constants: NewtonConstants, radius: float | None, gradient: float | None
) -> tuple[float, tuple[Assumption, ...]]:
    """(D, the assumptions behind it)."""
    reach, rests = math.inf, ()
    if radius is not None:
        meaning = "radius of the ball; each step ends with a projection onto it"
        reach, rests = 2 * radius, (Assumption("C", radius, "proved", meaning),)
    if constants.strong_convexity and gradient is not None:
        convex = (gradient + constants.gradient_residual) / constants.strong_convexity
        if convex < reach:
            meaning = "gradient norm of the retained risk before the step, for this request"
            reach, rests = convex, (Assumption("gradient", gradient, "estimated", meaning),)
    if math.isinf(reach):
        raise BadInput("the bound needs a ball (Recipe(radius=...)) or a strongly convex risk")
    return reach, rests
