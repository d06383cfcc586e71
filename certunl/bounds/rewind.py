"""Rewound training: the distance between its end, after the last steps without a request, and training without it."""

import math
from typing import Any

import numpy as np

from certunl.bounds.constants import HessianFreeConstants
from certunl.bounds.steps import Steps, check_form, injection
from certunl.errors import BadInput

__all__ = ["rewind_bound"]


def rewind_bound(
    constants: HessianFreeConstants,
    *,
    rates: Any,
    sizes: Any,
    gone: Any,
    divisors: Any,
    weight_decay: float,
    denominator: str,
    rewound: int,
    radius: float | None = None,
) -> tuple[float, float]:
    """(Delta, D): ‖w~ − w'‖ <= Delta and ‖w − w'‖ <= D.

    w is the end of the original training and w' that of its replay without the request. w~ is the original training
    up to its last K = `rewound` steps, followed by those steps without the request. Delta and D start at 0. With
    rho', f and J of `recursive_bound` and r = `rounding`, every step t of plain SGD gives

        Delta' = rho' Delta + rate J [t < T − K] + 2 r           D' = rho' D + rate J + 2 r

    With projection onto ‖w‖ <= `radius` = C, each of them is at most 2 C + 2 r. For full batches, f = n_u/n, a
    constant rate and rho' = q, Delta = rate J q^K (q^{T−K} − 1)/(q − 1).
    Proof: let R be the retained step and F the original step. In the first T − K steps w~ − w' moves by
    F(w~) − R(w') = R(w~) − R(w') + F(w~) − R(w~), and in the last K by R(w~) − R(w'). F − R is rate times the
    forgotten gradients' share ("batch"), or rate f times their mean less the mean of the others ("retained"). Its
    norm is at most rate J. The projection P is 1-Lipschitz, so ‖P F(w~) − P R(w')‖ <= ‖F(w~) − R(w')‖, and both
    points lie in the ball.
    Source: Mu and Klabjan 2025, rewind-to-delete.
    Differs: any schedule of mini-batches, any contraction, and projection.

    >>> constants = HessianFreeConstants(gradient_bound=2**0.5, smoothness=0.5, hessian_lipschitz=1, convexity=0)
    >>> steps = {"rates": [1.0] * 200, "sizes": 1000, "gone": 10, "divisors": 1000, "weight_decay": 0.1}
    >>> bound, _ = rewind_bound(constants, **steps, denominator="retained", rewound=50)
    >>> round(bound, 9)
    0.001457708
    """
    check_form(denominator, "retained")
    steps = Steps.of(
        constants,
        rates=rates,
        sizes=sizes,
        gone=gone,
        divisors=divisors,
        weight_decay=weight_decay,
        denominator=denominator,
    )
    total, per_share, G = len(steps.rates), injection(constants, denominator), constants.gradient_bound
    if not 0 <= rewound <= total:
        raise BadInput(f"rewound must lie between 0 and the {total} steps of the schedule, got {rewound}")
    injected = steps.rates * np.where(steps.emptied, G, steps.gone * per_share)
    ball, lost = math.inf if radius is None else 2 * radius, 2 * constants.rounding
    bound = nothing = 0.0
    for t, (rho, moved) in enumerate(zip(steps.rho_kept.tolist(), injected.tolist(), strict=True)):
        bound = min(rho * bound + (moved if t < total - rewound else 0.0), ball) + lost
        nothing = min(rho * nothing + moved, ball) + lost
    return bound, nothing
