"""Rewound training: how far the last steps without a request end from training without it from the start."""

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
    """(Delta, D): ‖w~ − w'‖ <= Delta and ‖w − w'‖ <= D, w' training replayed without the request, w training as it was,
    w~ training as it was up to its last `rewound` = K steps, and those without the request.

    Per step t of plain SGD, with what `recursive_bound` calls rho', f and J, and r = `rounding`, from 0,

        Delta' = rho' Delta + rate J [t < T − K] + 2 r           D' = rho' D + rate J + 2 r

    and with projection onto ‖w‖ <= `radius` = C each of them at most 2 C + 2 r.
    Full batches, f = n_u/n, constant rate and rho' = q: Delta = rate J q^K (q^{T−K} − 1)/(q − 1).
    Proof: with R the retained step and F the step as it was, w~ − w' moves by F(w~) − R(w') = R(w~) − R(w') +
    F(w~) − R(w~) in the first T − K steps, and by R(w~) − R(w') in the last K; F − R is rate times the forgotten
    gradients' share ("batch") or f times their mean less the others' ("retained"), of norm at most rate J. Projection P
    is 1-Lipschitz, so ‖P F(w~) − P R(w')‖ <= ‖F(w~) − R(w')‖, and both lie in the ball.
    Source: Mu and Klabjan 2025, rewind-to-delete.  Differs: any schedule of mini-batches, any contraction, projection.

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
