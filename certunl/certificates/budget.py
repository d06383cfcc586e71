"""The privacy budget of a release, and what it spends."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from certunl.errors import BadInput, one_of, plain_numbers, positive, share

__all__ = ["UNPROVED", "Budget", "Charge"]


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


class Charge(NamedTuple):
    """The spending of one release.

    Args:
        ratios: the proved distance divided by the noise's standard deviation; inf if nothing is proved.
        pairs: the (epsilon, delta) of noise that is no Gaussian.
        failures: the probability, over the method's own randomness, that the statement is false.
    """

    ratios: tuple[float, ...] = ()
    pairs: tuple[tuple[float, float], ...] = ()
    failures: float = 0.0


UNPROVED = Charge(ratios=(math.inf,))
"""The charge of a release without a theorem."""
