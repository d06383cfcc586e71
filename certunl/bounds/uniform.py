"""Hessian-free unlearning against replayed retraining, for every request of one size: what fixes the noise early."""

from collections.abc import Callable

import numpy as np

from certunl.bounds.constants import HessianFreeConstants
from certunl.bounds.steps import Steps, check_form, crossing, injection, remainder
from certunl.errors import BadInput, whole
from certunl.training.schedule import Schedule

__all__ = ["deletion_capacity", "uniform_bound"]


def uniform_bound(
    constants: HessianFreeConstants,
    schedule: Schedule,
    *,
    forgotten: int,
    weight_decay: float,
    denominator: str,
    form: str,
) -> tuple[float, float]:
    """(Delta, D) of `recursive_bound`, valid for every set of at most `forgotten` examples of `schedule`.

        D_t     = sum of the `forgotten` largest c_i(t)         c_i' = rho* c_i + (rate/|B|) G
        Delta_T = b(T) + sum of the `forgotten` largest e_i(T)  b'   = rho b + rate k min(M D_t²/2, span D_t)
                                                                e_i' = rho e_i + (rate/|B|) min(beta D_t, change)

    where the last terms of c_i' and e_i' count for the batches that hold i. rho* is the larger of `recursive_bound`'s
    rho and of its rho' where the most of the batch that can go is gone. For denominator "retained" G is the spread and
    the last bracket the larger of X/f at f = 0 and at the most; form "retained" has no e, and rho* for rho.
    Proof: rho' is convex in f, so rho* bounds it; the recursion for D is then linear in its injections and D_t(U) at
    most the sum of c_i(t) over U; X/f is linear in f, and everything grows with D.
    Batches of unequal size cost: a small one multiplies its examples' c_i by what it is smaller.
    Source: ours. Raises: BadInput for weights other than 0 and 1.
    """
    check_form(denominator, form)
    indices, weights = np.asarray(schedule.indices), np.asarray(schedule.weights)
    if not np.isin(weights, (0, 1)).all():
        raise BadInput("the bound for every request needs weights of 0 and 1")
    whole(forgotten=forgotten)
    members = [np.unique(row[there], return_counts=True) for row, there in zip(indices, weights != 0, strict=True)]
    most = [_top(counts, forgotten) for _, counts in members]
    steps = Steps.of(
        constants,
        rates=schedule.rates,
        sizes=np.sum(weights != 0, axis=1),
        gone=most,
        divisors=schedule.divisors,
        weight_decay=weight_decay,
        denominator=denominator,
    )
    worst = np.maximum(steps.rho, steps.rho_kept)
    if constants.retained_contraction is not None:
        worst = np.maximum(worst, constants.retained_contraction)
    n, G = int(indices.max(initial=-1)) + 1, constants.gradient_bound
    moves, crosses = np.zeros(n), np.zeros(n)
    common = nothing = rounded = drift = 0.0
    for (ids, counts), t in zip(members, range(len(members)), strict=True):
        rate, f, emptied = steps.rates[t], steps.gone[t], steps.emptied[t]
        share = counts * (rate * f / most[t]) if most[t] else 0.0
        rest = rate * steps.filled[t] * remainder(constants, nothing)
        if form == "retained":
            common = worst[t] * common + rest
        else:
            crossed = max(crossing(constants, denominator, nothing, g) for g in (0.0, f))
            common = steps.rho[t] * common + rest
            crosses *= steps.rho[t]
            crosses[ids] += share * (max(crossed, G) if emptied else crossed)
        moved = _top(moves, forgotten)
        rounded = worst[t] * rounded + 6 * constants.rounding + constants.product_rounding * moved
        drift = worst[t] * drift + 2 * constants.rounding
        per_share = injection(constants, denominator)
        moves *= worst[t]
        moves[ids] += share * (max(per_share, G) if emptied else per_share)
        nothing = _top(moves, forgotten) + drift
    visits = np.bincount(indices[weights != 0], minlength=n)
    added = constants.rounding + _top(visits, forgotten) * constants.product_rounding * _top(moves, forgotten)
    return float(common + _top(crosses, forgotten) + rounded + added), float(nothing)


def deletion_capacity(
    constants: HessianFreeConstants,
    schedule: Schedule,
    *,
    distance: float,
    weight_decay: float,
    denominator: str,
    form: str,
) -> tuple[int, int]:
    """(m, m*): the most examples that can go with `uniform_bound` within `distance`, whoever they are, and the most for
    which it is below what doing nothing is proved to cost, Delta < D; 0 where not even one can, at most all but one.

    For a `Budget` of fixed noise `distance` is sigma/noise_ratio(epsilon, delta). Delta grows with m, so m is the
    largest; m* is where Delta < D first fails on the way up by doubling and halving.
    """

    def holds(check: Callable[[float, float], bool], m: int) -> bool:
        settings = {"weight_decay": weight_decay, "denominator": denominator, "form": form}
        return check(*uniform_bound(constants, schedule, forgotten=m, **settings))

    there = np.asarray(schedule.indices)[np.asarray(schedule.weights) != 0]
    limit = len(np.unique(there)) - 1
    within = _largest(lambda m: holds(lambda bound, _: bound <= distance, m), limit)
    return within, _largest(lambda m: holds(lambda bound, nothing: bound < nothing, m), limit)


def _largest(holds: Callable[[int], bool], limit: int) -> int:
    """The last m <= limit before `holds` fails, 0 where it fails at 1."""
    low, high = 0, 1
    while high <= limit and holds(high):
        low, high = high, 2 * high
    high = min(high, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _top(values: np.ndarray, count: int) -> float:
    """The sum of the `count` largest."""
    return float(np.sum(values if count >= len(values) else np.partition(values, -count)[-count:]))
