"""The privacy budget of a release, and what it spends."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from certunl.errors import BadInput, one_of, plain_numbers, positive, share

__all__ = ["UNPROVED", "Budget", "Charge", "Common", "counted", "joint"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The privacy budget of a release, which must be (epsilon, delta)-indistinguishable from its reference.

    With `distance` or `sigma` the noise scale is fixed before any request. With neither it follows from the update's
    own bound.

    Args:
        epsilon: the largest epsilon of the release. A smaller one needs more noise. It may be None if `sigma` is set;
            epsilon is then read off the noise. With both, a release that needs more than this epsilon is refused.
        delta: strictly between 0 and 1, usually well below 1/n. A smaller one needs slightly more noise.
        distance: the noise is calibrated to this distance. An update whose bound is larger is refused.
        sigma: the noise's standard deviation. It cannot be set together with `distance`.
        calibration: the rule for sigma. "analytic" is exact; "classical" is the older rule (`classical_ratio`), for
            reproduction and epsilon up to 1 only. The epsilon of a certificate is exact for either.
    """

    epsilon: float | None = None
    delta: float
    distance: float | None = None
    sigma: float | None = None
    calibration: str = "analytic"

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.epsilon is None and self.sigma is None:
            raise BadInput("a budget needs epsilon or sigma, got neither; with sigma alone, epsilon follows from it")
        positive("", epsilon=self.epsilon, distance=self.distance, sigma=self.sigma)
        share(delta=self.delta)
        if self.distance is not None and self.sigma is not None:
            raise BadInput("a budget takes distance or sigma, got both; leave one out, because each fixes the noise")
        one_of(("analytic", "classical"), calibration=self.calibration)
        if self.calibration == "classical" and self.sigma is not None:
            raise BadInput("sigma fixes the noise, so the classical rule has nothing to calibrate; leave one out")
        if self.calibration == "classical" and (self.epsilon is None or self.epsilon > 1):
            raise BadInput(
                f"the classical rule is proved for epsilon up to 1 only, got {self.epsilon}; use analytic calibration"
            )


@dataclass(frozen=True)
class Common:
    """What a release has in common with other releases: the noise of one training.

    Args:
        ratio: that of the training for everyone forgotten so far, by their slots (`bounds.slot_ratio`). A release by
            pairs has the largest of any so many examples, which tells no batches.
        start: a digest of everyone forgotten before the request.
        end: the same after the request. Both are bound to the seal of the training.
        steps: s, the number of first steps of the training whose noise the release holds.
        own: the guarantee's statement is about this noise and nothing else.
        paired: the release is charged by pairs, for batches that nobody knows. The ratio then counts only where
            requests did not know of each other, or where others may know the batches.
        whole: the release holds all steps, so that it is the training as it is.
        pair: the (epsilon, delta) of a release by pairs.
    """

    ratio: float
    start: str
    end: str
    steps: int = 0
    own: bool = False
    paired: bool = False
    whole: bool = False
    pair: tuple[float, float] | None = None


def joint(parts: Sequence[Common]) -> float:
    """The ratio of all releases that hold noise of one training, beside one such training, in their order.

    Let release j hold the first s_j steps, with slots of everyone forgotten by then: k_t(U_j) of step t. If each
    request was made where the one before it ended, the U_j grow. The slots of step t that some release should not hold
    are then those of the last one that holds step t. So the squared ratio is sum_t max_{j: s_j > t} k_t(U_j)²/z². A
    release that holds no more steps than a later one adds nothing to it, and the squares of the others bound it.
    Otherwise the slots of several requests may add up in a step. By Minkowski's inequality the ratios then add.

    Releases by pairs hide who is in which batch, and have pairs of their own. After a release that was trained again
    from a step on, its later steps may tell the batches of those who are forgotten after it. So a later release that
    holds such steps of the training counts by its slots as well.

    >>> joint([Common(0.2, "", "a"), Common(0.3, "a", "b")])
    0.3
    >>> joint([Common(0.2, "", "a"), Common(0.3, "", "b")])  # the second request knew nothing of the first
    0.5
    """
    if not _one_after_another(parts):
        return sum(part.ratio for part in parts)
    earlier = [parts[:i] for i in range(len(parts))]
    shown = [any(a.steps < b.steps for a in before) for b, before in zip(parts, earlier, strict=True)]
    by_slots = [part for part, known in zip(parts, shown, strict=True) if known or not part.paired]
    later = [by_slots[i + 1 :] for i in range(len(by_slots))]
    return math.hypot(
        *(a.ratio for a, rest in zip(by_slots, later, strict=True) if all(b.steps < a.steps for b in rest))
    )


def counted(pairs: Sequence[tuple[float, float]], common: Sequence[Common]) -> tuple[tuple[float, float], ...]:
    """The pairs that count: without those of earlier releases of one training as it is.

    Where each request was made at the end of the one before it, the last of these releases has forgotten everyone whom
    an earlier one has. All of them are the same model, so its pair is that of all together. Other pairs add.

    >>> counted([(0.1, 1e-6), (0.2, 1e-6)], [Common(1.0, "", "a", 9, True, True, True, (0.1, 1e-6))])
    ((0.1, 1e-06), (0.2, 1e-06))
    """
    remaining = list(pairs)
    whole = [part.pair for part in common if part.whole and part.pair is not None]
    for pair in whole[:-1] if _one_after_another(common) else ():
        remaining.remove(pair)
    return tuple(remaining)


def _one_after_another(parts: Sequence[Common]) -> bool:
    """Whether each request was made where the one before it ended, or is the same again."""
    return all(b.start == a.end or (a.start, a.end) == (b.start, b.end) for a, b in pairwise(parts))


class Charge(NamedTuple):
    """The spending of one release.

    Args:
        ratios: the proved distance divided by the noise's standard deviation; inf if nothing is proved.
        pairs: the (epsilon, delta) of noise that is no Gaussian.
        failures: the probability, over the method's own randomness, that the statement is false.
        common: the noise that the release has in common with others.
    """

    ratios: tuple[float, ...] = ()
    pairs: tuple[tuple[float, float], ...] = ()
    failures: float = 0.0
    common: tuple[Common, ...] = ()


UNPROVED = Charge(ratios=(math.inf,))
"""The charge of a release without a theorem."""
