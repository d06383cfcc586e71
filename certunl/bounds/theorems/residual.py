"""The gradient of the retained risk at a point bounds the point's distance to the minimiser, for any method."""

from typing import Any

import numpy as np

from certunl.base import Params
from certunl.bounds.linear_risk import LinearRisk, linear_risk
from certunl.bounds.residual import published_pairs, residual_bound
from certunl.bounds.theorems._gone import everyone_gone
from certunl.certificates.guarantee import Assumption, Guarantee
from certunl.certificates.statement import Distance, Pairs
from certunl.errors import positive
from certunl.training.run import Run

__all__ = ["perturbed_objective", "residual", "tested_residual"]


def residual(run: Run, gone: Any, params: Params) -> Guarantee:
    """‖params − w*‖ <= (‖grad L(params, retained)‖ + rounding)/mu, with the gradient measured in float64.

    w* is the minimiser of the retained risk L, mu its strong convexity. The guarantee holds for this request alone.

    Args:
        run: a run of softmax or least-squares regression with weight decay or l2.
        gone: the request i32[k], or all examples forgotten since training as bool[n].
        params: the parameters to be released, from any method.

    Raises: BadInput for other problems, and without weight decay and l2.
    """
    risk = linear_risk(run, ~everyone_gone(run, gone))
    slope, mu = risk.slope(params), risk.strong_convexity
    meaning = "float64 gradient norm of the retained risk, for this request"
    return Guarantee(
        says=Distance(
            residual_bound(residual=slope.norm, rounding=slope.rounding, strong_convexity=mu),
            doing_nothing=risk.slope(run.params).most / mu,
        ),
        reference=risk.reference,
        sense="minimiser",
        assumptions=(
            Assumption("residual", slope.norm, "proved", meaning),
            Assumption("rounding", slope.rounding, "proved", "upper bound on the error of the residual from rounding"),
            Assumption("mu", mu, "proved", "strong convexity of the retained risk"),
        ),
        unchecked=run.unchecked,
    )


def tested_residual(risk: LinearRisk, tolerance: float) -> Guarantee:
    """‖w − w*‖ <= tolerance/mu for every w that passed the test ‖grad L(w, retained)‖ + rounding <= `tolerance`.

    The bound depends on settings alone, so it is the same for every request. The caller tests the gradient.
    """
    mu = risk.least_convexity
    meaning = "bound on the retained risk's gradient norm at the released point, tested in float64 with rounding"
    return Guarantee(
        says=Distance(residual_bound(residual=tolerance, rounding=0.0, strong_convexity=mu)),
        reference=risk.reference,
        sense="minimiser",
        every_request=True,
        assumptions=(
            Assumption("tolerance", tolerance, "proved", meaning),
            Assumption("mu", mu, "proved", "lower bound on the strong convexity of the retained risk"),
        ),
        unchecked=risk.run.unchecked,
    )


def perturbed_objective(risk: LinearRisk, tolerance: float, noise: float) -> Guarantee:
    """The published argument for a point that passed the test on the risk with a perturbation b ~ N(0, noise² I).

    It assumes that the remaining gradient is independent of b, which is false. If b has served an earlier request,
    nothing is stated.
    Source: Guo et al. 2020, theorem 3.
    """
    positive(noise=noise)
    unchecked = (*risk.run.unchecked, *_PERTURBED)
    reference = "the minimiser of the retained risk with a fresh perturbation b"
    if not np.asarray(risk.run.present).all():
        missing = ("a perturbation b that has not served an earlier request",)
        return Guarantee(says=None, reference=reference, missing=missing, unchecked=unchecked)
    total = risk.divisor * tolerance  # for the sum over the examples, where `tolerance` is for their mean
    return Guarantee(
        says=Pairs(published_pairs(total / noise), float(noise)),
        reference=reference,
        sense="learner",
        every_request=True,
        assumptions=(
            Assumption(
                "tolerance", total, "proved", "upper bound on the norm of F_b's summed gradient at the released point"
            ),
            Assumption(
                "sigma_b", float(noise), "proved", "standard deviation of b in that gradient, not in the release"
            ),
        ),
        unchecked=unchecked,
    )


_PERTURBED = (
    "the gradient residual is independent of the perturbation b (false in general)",
    "no other model trained with this b is released, not even the one before the request",
)
