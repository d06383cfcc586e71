"""Hessian-free unlearning against replayed retraining, for one request: a bound followed step by step."""

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
    """(Delta, D): ‖w' − (w + a)‖ <= Delta and ‖w' − w‖ <= D, w' retraining replayed without the request.

    Per step t of plain SGD (no clipping, momentum or projection): `rates`, and slots of the batch: `sizes` in all,
    `gone` of them of the request, `divisors` |B| (only for denominator "batch"); f = gone/|B|, k = sizes/|B|. From 0,

        D'     = rho' D + rate · J                                      J = f G        ("batch")
        Delta' = rho Delta + rate (k min(M D²/2, span D) + X)           X = f min(beta D, change)
        Delta' = rho' Delta + rate (k − f) min(M D²/2, span D)          form "retained"

    and for denominator "retained", where f = gone/sizes, k = 1 and the last line has k − f = 1,

        J = f spread,   X = f ((1 − f) min(span D, 2 change, 2 spread) + f spread)

    with rho = ‖I − rate (k H + weight_decay I)‖ over mu I <= H <= beta I, rho' the same with k − f (1 for "retained"),
    span = beta − mu, or 2 beta and given contractions without convexity. A batch that loses everyone under "retained"
    only decays: rho' = |1 − rate weight_decay|, J = X = G, no remainder in form "retained".
    The regulariser inside each example's loss, as in the paper: its l2 is in G, beta and mu, weight_decay = 0.

    Proof: with R the retained step, w' − w moves by R(w') − R(w) plus rate times the mean of the forgotten gradients
    ("batch") or their mean less the others' mean, times f ("retained"): D. The vector a' = (I − rate H) a + injection
    (form "first_order", the derivative of the step with respect to who is there) leaves the Taylor remainder of the
    batch and f times the change of the injected gradients from w to w'; for "retained" that is q(w') − (1 − f) q(w)
    with q the forgotten's mean gradient less the others'. The vector a' = R'(w) a + R(w) − F(w) (form "retained", F the
    step as it was) leaves only the remainder of the retained batch.
    Rounding r = `rounding`, r_a = `product_rounding`: the two trainings and the one that the vector runs along are each
    off by r a step, the vector by 2 r + r_a A, A >= the sum of all vectors' norms, followed as D is;
    adding them up costs as much again.

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
    for rate, filled, f, kept, emptied, rho, rho_kept in zip(*(a.tolist() for a in vars(steps).values()), strict=True):
        injected = G if emptied else f * per_share
        if form == "retained":
            bound = rho_kept * bound + rate * kept * remainder(constants, nothing)
        else:
            crossed = G if emptied else f * crossing(constants, denominator, nothing, f)
            bound = rho * bound + rate * (filled * remainder(constants, nothing) + crossed)
        largest = max(rho, rho_kept)
        rounded = largest * rounded + 6 * constants.rounding + constants.product_rounding * moved
        moved = largest * moved + rate * injected
        nothing = rho_kept * nothing + rate * injected + 2 * constants.rounding
    added = constants.rounding + float(np.sum(gone)) * constants.product_rounding * moved
    return bound + rounded + added, nothing
