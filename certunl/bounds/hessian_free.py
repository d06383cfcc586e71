"""Hessian-free unlearning against replayed retraining, for one request. The bound follows the schedule step by step."""

from typing import Any

import numpy as np

from certunl.bounds.constants import HessianFreeConstants
from certunl.bounds.steps import Steps, check_form, crossing, injection, remainder

__all__ = ["recursive_bound"]


def recursive_bound(
    constants: HessianFreeConstants,
    *,
    rates: Any,
    sizes: Any,
    gone: Any,
    divisors: Any,
    weight_decay: float,
    denominator: str,
    form: str,
) -> tuple[float, float]:
    """(Delta, D): ‖w' − (w + a)‖ <= Delta and ‖w' − w‖ <= D, with w' retraining replayed without the request.

    Each step is plain SGD, without clipping, momentum or projection, at the learning rate of `rates`. A batch has
    `sizes` slots, of which `gone` hold examples of the request. `divisors` is |B| and counts only for denominator
    "batch". Let f = gone/|B| and k = sizes/|B|. Delta and D start at 0, and every step gives

        D'     = rho' D + rate · J                                      J = f G        ("batch")
        Delta' = rho Delta + rate (k min(M D²/2, span D) + X)           X = f min(beta D, change)
        Delta' = rho' Delta + rate (k − f) min(M D²/2, span D)          form "retained"

    For denominator "retained" f = gone/sizes, k = 1, the last line has 1 in place of k − f, and

        J = f spread,   X = f ((1 − f) min(span D, 2 change, 2 spread) + f spread)

    rho = ‖I − rate (k H + weight_decay I)‖ over mu I <= H <= beta I, and rho' is the same with k − f in place of k
    (with 1 for "retained"). span = beta − mu. Without convexity span = 2 beta and the contractions are given. Under
    "retained", a batch that loses all its examples only decays: rho' = |1 − rate weight_decay|, J = X = G, and form
    "retained" has no remainder. If the regulariser is inside each example's loss, as in the paper, then G, beta and
    mu include its l2, and weight_decay = 0.

    Proof: let R be the retained step and F the original step. w' − w moves by R(w') − R(w) plus rate f times a
    gradient, which is the mean of the forgotten gradients ("batch"), or that mean less the mean of the others
    ("retained"). This gives D. The vector a' = (I − rate H) a + injection (form "first_order", the derivative of the
    step with respect to the examples' presence) leaves two errors. One is the Taylor remainder of the batch. The
    other is f times the change of the injected gradients from w to w'; for "retained" it is q(w') − (1 − f) q(w),
    where q is the mean of the forgotten gradients less that of the others. The vector a' = R'(w) a + R(w) − F(w)
    (form "retained") leaves only the remainder of the retained batch.
    Rounding: let r = `rounding` and r_a = `product_rounding`. Training, retraining and the run that the vector
    follows are each off by r per step. The vector is off by 2 r + r_a A per step, with A >= the sum of the norms of
    all vectors, followed as D is. So Delta counts 6 r + r_a A and D counts 2 r per step. The final sum adds r to
    Delta, and r_a A for each slot of the request.

    >>> constants = HessianFreeConstants(gradient_bound=2, smoothness=1, hessian_lipschitz=0.5, convexity=0)
    >>> steps = {"rates": [0.1, 0.1], "sizes": 10, "gone": [1, 0], "divisors": 10, "weight_decay": 0.5}
    >>> bound, nothing = recursive_bound(constants, **steps, denominator="batch", form="first_order")
    >>> round(nothing, 9), round(bound / 0.1 / (0.25 * 0.02**2), 9)
    (0.019, 1.0)
    """
    check_form(denominator, form)
    steps = Steps.of(
        constants,
        rates=rates,
        sizes=sizes,
        gone=gone,
        divisors=divisors,
        weight_decay=weight_decay,
        denominator=denominator,
    )
    per_share, G = injection(constants, denominator), constants.gradient_bound
    bound = nothing = moved = rounded = 0.0
    for rate, filled, f, rest, emptied, rho, rho_kept in zip(*(a.tolist() for a in vars(steps).values()), strict=True):
        injected = G if emptied else f * per_share
        if form == "retained":
            bound = rho_kept * bound + rate * rest * remainder(constants, nothing)
        else:
            crossed = G if emptied else f * crossing(constants, denominator, nothing, f)
            bound = rho * bound + rate * (filled * remainder(constants, nothing) + crossed)
        # `bound` and `rounded` use D and A of the step before, so they are updated first
        largest = max(rho, rho_kept)
        rounded = largest * rounded + 6 * constants.rounding + constants.product_rounding * moved
        moved = largest * moved + rate * injected
        nothing = rho_kept * nothing + rate * injected + 2 * constants.rounding
    added = constants.rounding + float(np.sum(gone)) * constants.product_rounding * moved
    return bound + rounded + added, nothing
