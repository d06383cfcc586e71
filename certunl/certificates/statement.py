"""The three things a theorem can say of an update: a distance, noise of its own, or (epsilon, delta) pairs."""

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar, NamedTuple

from certunl.certificates.budget import UNPROVED, Budget, Charge
from certunl.certificates.gaussian import classical_ratio, noise_ratio, read_epsilon
from certunl.errors import BadInput, positive, scalar

__all__ = ["Claim", "Distance", "OwnNoise", "Pairs"]


class Claim(NamedTuple):
    """What a budget makes of a statement.

    Args:
        sigma: standard deviation of the noise in the release.
        epsilon: what the certificate states at the budget's delta; None where nothing is proved.
        charge: what the account is charged.
    """

    sigma: float
    epsilon: float | None
    charge: Charge


@dataclass(frozen=True)
class Distance:
    """‖params − reference‖ <= `bound`. `certify` adds Gaussian noise for it.

    Args:
        bound: the proved distance, at least 0; inf where the theorem gives no finite one.
        doing_nothing: a proved distance of the model before forgetting, for comparison; None if there is none.
        exact: the update is retraining itself.
    """

    bound: float
    doing_nothing: float | None = None
    exact: bool = False
    gaussian: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _distance(self.bound)
        if self.doing_nothing is not None:
            _distance(self.doing_nothing)

    def claim(self, budget: Budget, every_request: bool, ceiling: float) -> Claim:
        """The noise that `budget` asks for the smaller of bound and `ceiling`.

        Raises: BadInput where that exceeds the distance fixed in the budget, or needs more than its epsilon.
        """
        distance = min(float(self.bound), ceiling)
        if math.isinf(distance):
            raise BadInput(f"the bound is {distance}: no noise can be calibrated to it; train in a ball (radius)")
        if budget.distance is not None and distance > budget.distance:
            raise BadInput(
                f"the update's bound {distance:.5g} exceeds the distance {budget.distance:.5g} fixed in the budget; "
                "retrain, or forget fewer at once"
            )
        if budget.sigma is not None:
            return _fixed_noise(distance, budget.sigma, budget, every_request, f"sigma {budget.sigma:g}")
        assert budget.epsilon is not None  # Budget checks it
        reach = budget.distance or distance  # what was promised before the request, or what this update needs
        if budget.calibration == "classical":
            sigma = classical_ratio(budget.epsilon, budget.delta) * reach
            epsilon = read_epsilon(sigma / reach, budget.delta) if reach else 0.0
        else:
            sigma, epsilon = noise_ratio(budget.epsilon, budget.delta) * reach, budget.epsilon if reach else 0.0
        return Claim(sigma, epsilon, Charge(ratios=(reach / sigma if sigma else 0.0,)))

    def vacuous(self, claim: Claim, budget: Budget, ceiling: float) -> bool:
        """Whether doing nothing is proved to be as near, or the noise hides any two models of the ball."""
        if self.bound >= min(ceiling, math.inf if self.doing_nothing is None else self.doing_nothing):
            return True
        if not claim.epsilon or math.isinf(ceiling):
            return False
        return claim.sigma >= noise_ratio(claim.epsilon, budget.delta) * ceiling * (1 - 1e-9)

    def line(self, ceiling: float) -> tuple[str, str]:
        """(name, text) in the printed certificate."""
        return "distance bound", f"{self.bound:.5g}    trivial bound 2C = {ceiling:.5g}"


@dataclass(frozen=True)
class OwnNoise:
    """The method's own steps carry the noise, and `certify` adds none.

    The laws of update and reference are at least as hard to tell apart as two Gaussians of standard deviation `sigma`
    whose means are `apart` from each other.

    Args:
        apart: distance of the two means; None where nothing is proved of the noise.
        sigma: standard deviation of the noise at the end of the steps.
    """

    apart: float | None
    sigma: float
    gaussian: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.apart is not None:
            _distance(self.apart)
        positive(sigma=self.sigma)

    def claim(self, budget: Budget, every_request: bool, ceiling: float) -> Claim:
        """What the noise is worth. Raises: BadInput where it needs more than the budget's epsilon."""
        _only_epsilon(budget)
        if self.apart is None:
            return Claim(self.sigma, None, UNPROVED)
        return _fixed_noise(self.apart, self.sigma, budget, every_request, _OWN)

    def vacuous(self, claim: Claim, budget: Budget, ceiling: float) -> bool:
        """Never: no distance of parameters is claimed."""
        return False

    def line(self, ceiling: float) -> tuple[str, str]:
        """(name, text) in the printed certificate."""
        if self.apart is None:
            return "bound", "none"
        return "bound", f"as two Gaussians {self.apart:.5g} apart, of sigma {self.sigma:.5g}: the method's own steps"


@dataclass(frozen=True)
class Pairs:
    """The method's own steps carry the noise, and each of `pairs` (epsilon, delta) is proved of them.

    Args:
        pairs: the proved (epsilon, delta), in any order.
        sigma: standard deviation of the noise of the last step.
    """

    pairs: tuple[tuple[float, float], ...] = field(repr=False)
    sigma: float
    gaussian: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for pair in self.pairs:
            if not (len(pair) == 2 and all(isinstance(number, Real) and number >= 0 for number in pair)):
                raise BadInput(f"a pair is an epsilon and a delta of at least 0, got {pair!r}")
        positive(sigma=self.sigma)

    def claim(self, budget: Budget, every_request: bool, ceiling: float) -> Claim:
        """The least epsilon at the budget's delta. Raises: BadInput where that is more than the budget's."""
        _only_epsilon(budget)
        epsilon = min((e for e, delta in self.pairs if delta <= budget.delta), default=math.inf)
        epsilon = _stated(epsilon, budget, every_request, _OWN)
        return Claim(self.sigma, epsilon, Charge(pairs=((epsilon, budget.delta),)))

    def vacuous(self, claim: Claim, budget: Budget, ceiling: float) -> bool:
        """Never: no distance of parameters is claimed."""
        return False

    def line(self, ceiling: float) -> tuple[str, str]:
        """(name, text) in the printed certificate."""
        return "bound", "(epsilon, delta) pairs of the method's own noise, no Gaussian trade-off"


_OWN = "the noise of the method's own steps"


def _distance(bound: Any) -> None:
    number = scalar(bound)
    if not (isinstance(number, Real) and float(number) >= 0):
        raise BadInput(f"a bound is a distance of at least 0, got {bound}")


def _only_epsilon(budget: Budget) -> None:
    if budget.sigma is not None or budget.distance is not None:
        raise BadInput("the noise of this method is in its own steps: a budget for it is an epsilon and a delta")


def _fixed_noise(distance: float, sigma: float, budget: Budget, every_request: bool, source: str) -> Claim:
    """Of noise that was there before the distance was known. The account is charged no less than what is stated."""
    epsilon = read_epsilon(sigma / distance, budget.delta) if distance else 0.0
    epsilon, ratio = _stated(epsilon, budget, every_request, source), distance / sigma
    if distance and budget.epsilon == epsilon:
        ratio = max(ratio, 1 / noise_ratio(epsilon, budget.delta))
    return Claim(sigma, epsilon, Charge(ratios=(ratio,)))


def _stated(epsilon: float, budget: Budget, every_request: bool, source: str) -> float:
    """`epsilon`, or the budget's where the request decides it: a certificate must not tell who asked."""
    if budget.epsilon is None:
        return epsilon
    if epsilon > budget.epsilon * (1 + 1e-9):
        raise BadInput(
            f"{source} gives epsilon {epsilon:.4g} at delta {budget.delta:g}, more than the budget's "
            f"{budget.epsilon:g}: raise the noise, or the budget"
        )
    return epsilon if every_request else budget.epsilon
