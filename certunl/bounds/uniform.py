"""Hessian-free unlearning against replayed retraining, for every request of one size. It fixes the noise in advance."""

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

    The last terms of c_i' and e_i' count only for batches that contain i. rho* is the larger of rho and rho' of
    `recursive_bound`, with rho' for the largest part of the batch that can be gone. For denominator "retained" G is
    the spread, and the last term is the larger of X/f at f = 0 and at the largest f. Form "retained" has no e, and
    rho* in place of rho.
    Proof: rho' is convex in f, so rho* bounds it. The recursion for D is then linear in its injections, and D_t(U) is
    at most the sum of c_i(t) over U. X/f is linear in f, and every term grows with D. Batches of unequal size loosen
    the bound, because a small batch enlarges the c_i of its examples in proportion.
    Source: ours.
    Raises: BadInput for weights other than 0 and 1.
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
        share = counts * (rate * f / most[t]) if most[t] else 0.0  # rate/|B| for each slot, because f = most/|B|
        rest = rate * steps.filled[t] * remainder(constants, nothing)
        if form == "retained":
            common = worst[t] * common + rest
        else:
            # linear in the forgotten part of the batch, so the largest value is at one end
            crossed = max(crossing(constants, denominator, nothing, g) for g in (0.0, f))
            common = steps.rho[t] * common + rest
            crosses *= steps.rho[t]
            crosses[ids] += share * (max(crossed, G) if emptied else crossed)
        # the terms above and `rounded` use D and c of the step before, so these advance last
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
    """(m, m*): the largest numbers of forgotten examples with Delta <= `distance`, and with Delta < D.

    Delta and D are those of `uniform_bound`, so the numbers hold for every such request. D is the proved distance of
    doing nothing. Each number is 0 if a single example is too many, and at most all examples but one. For a `Budget`
    of fixed noise, `distance` is sigma/noise_ratio(epsilon, delta). Delta grows with m, so m is the largest number.
    m* comes from a search by doubling and halving: Delta < D holds at m* and fails at m* + 1, if that many can go.

    The deletion capacity of Sekhari et al. 2021 and of Qiao et al. 2025 (definition 2) is another notion. It is the
    largest m at which the expected excess risk of the release stays below 0.01. It is not computed here, because it
    needs constants of the population risk, and a loss that is both strongly convex and Lipschitz. Softmax regression
    is both only within a ball.
    """

    def holds(check: Callable[[float, float], bool], m: int) -> bool:
        settings = {"weight_decay": weight_decay, "denominator": denominator, "form": form}
        return check(*uniform_bound(constants, schedule, forgotten=m, **settings))

    there = np.asarray(schedule.indices)[np.asarray(schedule.weights) != 0]
    limit = len(np.unique(there)) - 1
    within = _largest(lambda m: holds(lambda bound, _: bound <= distance, m), limit)
    return within, _largest(lambda m: holds(lambda bound, nothing: bound < nothing, m), limit)


def _largest(holds: Callable[[int], bool], limit: int) -> int:
    """An m <= limit at which `holds` is true, false at m + 1 or beyond the limit. It is 0 if `holds` is false at 1."""
    low, high = 0, 1
    while high <= limit and holds(high):
        low, high = high, 2 * high
    high = min(high, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _top(values: np.ndarray, count: int) -> float:
    """The sum of the `count` largest values."""
    return float(np.sum(values if count >= len(values) else np.partition(values, -count)[-count:]))
