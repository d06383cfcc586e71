"""Steps whose sums hold a random number of the forgotten: compositions of mixtures of Gaussians."""

import math
from functools import lru_cache
from typing import Any

import numpy as np

from certunl.errors import BadInput, nonnegative, positive, whole

__all__ = ["mixture_epsilon"]

_SPARE = 1e-4
"""The part of delta that events of small probability may take."""

_LEAST, _RATIO = 1e-9, 6.0
"""The least delta and the largest k q √T/z of a computation. Gaussians of ratio 6 have epsilon 43 at delta 1e-5."""

_TAIL = 2.0**-80
"""The probability that a step of the composition holds more of the group than the mixture counts."""


def mixture_epsilon(
    delta: float, *, group: int, rate: float, noise: float, steps: int, rounding: float = 0.0, missed: float = 0.0
) -> float:
    """An epsilon at `delta` of T = `steps` adaptive steps, each of which is at least as hard to tell apart, as P and Q,

        P = sum_j Binomial(k, q)(j) N(j (1 + r), z²)    Q = N(0, z²)

    in both orders. A step adds noise of standard deviation z C to a sum of vectors of norm at most C. Each of the k
    vectors of a group is in the sum independently with probability q, and nobody learns which are. The result is never
    too small but for the float64 arithmetic of its Fourier transforms, about 1e-12 of delta.

    Args:
        delta: the delta, at least 1e-9 unless nobody is in any step.
        group: k, the members of the group.
        rate: q, the probability of each member in each step, or more.
        noise: z, in units of C.
        steps: T, the number of steps.
        rounding: r, the distance that each member adds by rounding, in units of C. Default: 0.
        missed: a probability that the steps are no such mixtures. Default: 0.

    Returns: the epsilon; inf for a smaller delta, and for epsilons so large that nothing is hidden.

    Raises: BadInput for numbers out of range.

    Source: Choquette-Choo, Ganesh, Steinke and Thakurta 2024, "Privacy amplification for matrix mechanisms", corollary
    4.7, which replaces vectors by their norms; composed by dp-accounting, pessimistically.

    >>> [round(mixture_epsilon(1e-5, group=k, rate=1 / 30, noise=40.0, steps=900), 2) for k in (1, 10)]
    [0.08, 0.93]
    """
    whole(least=0, group=group, steps=steps)
    positive(delta=delta, noise=noise)
    nonnegative(rounding=rounding, missed=missed)
    if not 0 <= rate <= 1:
        raise BadInput(f"rate is a probability, got {rate:g}")
    epsilon = 0.0
    if group and steps and rate:
        if delta < _LEAST or group * rate * math.sqrt(steps) > _RATIO * noise:
            return math.inf
        try:
            epsilon = float(_composed(group, rate, noise, steps, rounding).get_epsilon_for_delta(delta * (1 - _SPARE)))
        except (ValueError, OverflowError, MemoryError):  # far beyond every epsilon that hides anything
            return math.inf
    # an event of probability p in both laws costs p (1 + e^epsilon) of delta
    return epsilon if (missed + _TAIL) * (1 + math.exp(min(epsilon, 700.0))) <= _SPARE * delta else math.inf


@lru_cache(maxsize=64)
def _composed(group: int, rate: float, noise: float, steps: int, rounding: float) -> Any:
    """The distribution of the privacy loss of all steps. Its grid errs by about steps times its square."""
    from dp_accounting.pld import privacy_loss_distribution  # takes half a second to import
    from scipy.stats import binom

    members = np.arange(group + 1)
    most = int(np.argmax(binom.sf(members, group, rate) <= _TAIL / steps))
    chances = binom.pmf(members[: most + 1], group, rate)
    chances[-1] += max(0.0, 1 - chances.sum())
    reach = most * (1 + rounding) / noise
    largest = reach * (10 + reach / 2)  # a loss that one step does not reach
    interval = max(largest / 50_000, min(largest / 3000, math.sqrt(1e-3 / steps)))
    one = privacy_loss_distribution.from_mixture_gaussian_mechanism(
        noise,
        (members[: most + 1] * (1 + rounding)).tolist(),
        chances.tolist(),
        value_discretization_interval=interval,
    )
    return one.self_compose(steps)
