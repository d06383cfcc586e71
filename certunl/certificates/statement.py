"""The three statements that a theorem can make: a distance, noise of the method's own, or (epsilon, delta) pairs."""

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar, NamedTuple

from certunl.certificates.budget import UNPROVED, Budget, Charge
from certunl.certificates.gaussian import classical_ratio, noise_ratio, read_epsilon
from certunl.errors import BadInput, plain_numbers, positive, scalar

__all__ = ["Claim", "Distance", "OwnNoise", "Pairs"]


class Claim(NamedTuple):
    """The noise scale and epsilon that follow from a statement and a budget.

    Args:
        sigma: standard deviation of the noise in the release.
        epsilon: the epsilon of the certificate at the budget's delta; None if nothing is proved.
        charge: the amount that the account is charged.
    """

    sigma: float
    epsilon: float | None
    charge: Charge


@dataclass(frozen=True)
class Distance:
    """The statement ‖params − reference‖ <= `bound`. `certify` adds Gaussian noise for this distance.

    Args:
        bound: the proved distance, at least 0; inf if the theorem gives no finite one.
        doing_nothing: a proved distance of the model before forgetting, for comparison; None if there is none.
        exact: the update is exact retraining.
    """

    bound: float
    doing_nothing: float | None = None
    exact: bool = False
    gaussian: ClassVar[bool] = True

    def __post_init__(self) -> None:
        plain_numbers(self)
        _distance(self.bound)
        if self.doing_nothing is not None:
            _distance(self.doing_nothing)

    def claim(self, budget: Budget, every_request: bool, ceiling: float) -> Claim:
        """The claim for the distance min(bound, `ceiling`) under `budget`.

        Raises: BadInput if the distance exceeds the one fixed in the budget, or needs more than the budget's epsilon.
        """
        distance = min(float(self.bound), ceiling)
        if math.isinf(distance):
            raise BadInput(f"no noise can be calibrated to a bound of {distance}; train in a ball (radius)")
        if budget.distance is not None and distance > budget.distance:
            raise BadInput(
                f"the update's bound {distance:.5g} exceeds the distance {budget.distance:.5g} fixed in the budget; "
                "retrain, or forget fewer at once"
            )
        if budget.sigma is not None:
            return _fixed_noise(distance, budget.sigma, budget, every_request, f"sigma {budget.sigma:g}")
        assert budget.epsilon is not None  # Budget checks it
        # A distance fixed before the request sets the noise, even if this update's bound is smaller.
        reach = budget.distance or distance
        if budget.calibration == "classical":
            sigma = classical_ratio(budget.epsilon, budget.delta) * reach
            epsilon = read_epsilon(sigma / reach, budget.delta) if reach else 0.0
        else:
            sigma, epsilon = noise_ratio(budget.epsilon, budget.delta) * reach, budget.epsilon if reach else 0.0
        return Claim(sigma, epsilon, Charge(ratios=(reach / sigma if sigma else 0.0,)))

    def vacuous(self, claim: Claim, budget: Budget, ceiling: float) -> bool:
        """Whether a bound for doing nothing is as small, or the noise is enough for any two models of the ball."""
        if self.bound >= min(ceiling, math.inf if self.doing_nothing is None else self.doing_nothing):
            return True
        if not claim.epsilon or math.isinf(ceiling):
            return False
        # after a training that has its part of the budget, the charge says what is left
        ratio = claim.charge.ratios[0] if claim.charge.common else 1 / noise_ratio(claim.epsilon, budget.delta)
        return claim.sigma * ratio >= ceiling * (1 - 1e-9)

    def line(self, ceiling: float) -> tuple[str, str]:
        """(name, text) in the printed certificate."""
        return "distance bound", f"{self.bound:.5g}    trivial bound 2C = {ceiling:.5g}"


class _InSteps:
    """A statement about noise in the method's own steps. It is never vacuous: no distance of parameters is claimed."""

    def vacuous(self, claim: Claim, budget: Budget, ceiling: float) -> bool:
        return False


@dataclass(frozen=True)
class OwnNoise(_InSteps):
    """The statement of a method whose own steps carry the noise. `certify` adds none.

    The distributions of update and reference are at least as hard to tell apart as two Gaussians of standard deviation
    `sigma` whose means have the distance `apart`.

    Args:
        apart: the distance of the two means; None if nothing is proved of the noise.
        sigma: standard deviation of the noise at the end of the steps.
        secret: digest of the secret that drew the noise. Default: unknown.
    """

    apart: float | None
    sigma: float
    secret: str = ""
    gaussian: ClassVar[bool] = True

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.apart is not None:
            _distance(self.apart)
        positive(sigma=self.sigma)

    def claim(self, budget: Budget, every_request: bool, ceiling: float) -> Claim:
        """The claim of this noise. Raises: BadInput if it needs more than the budget's epsilon."""
        _only_epsilon(budget)
        if self.apart is None:
            return Claim(self.sigma, None, UNPROVED)
        return _fixed_noise(self.apart, self.sigma, budget, every_request, _OWN)

    def line(self, ceiling: float) -> tuple[str, str]:
        """(name, text) in the printed certificate."""
        if self.apart is None:
            return "bound", "none"
        apart = f"two Gaussians of sigma {self.sigma:.5g} at distance {self.apart:.5g}"
        return "bound", f"at least as hard to tell apart as {apart}, by the noise of the method's own steps"


@dataclass(frozen=True)
class Pairs(_InSteps):
    """The statement of a method whose own noisy steps are proved to satisfy each (epsilon, delta) of `pairs`.

    Args:
        pairs: the proved (epsilon, delta), in any order.
        sigma: standard deviation of the noise of the last step.
        secret: digest of the secret that drew the noise. Default: unknown.
    """

    pairs: tuple[tuple[float, float], ...] = field(repr=False)
    sigma: float
    secret: str = ""
    gaussian: ClassVar[bool] = False

    def __post_init__(self) -> None:
        plain_numbers(self)
        for pair in self.pairs:
            if not (len(pair) == 2 and all(isinstance(number, Real) and number >= 0 for number in pair)):
                raise BadInput(f"a pair must be an epsilon and a delta of at least 0, got {pair!r}")
        positive(sigma=self.sigma)

    def claim(self, budget: Budget, every_request: bool, ceiling: float) -> Claim:
        """The claim with the least epsilon at the budget's delta. Raises: BadInput if that exceeds the budget's."""
        _only_epsilon(budget)
        epsilon = min((e for e, delta in self.pairs if delta <= budget.delta), default=math.inf)
        epsilon = _stated(epsilon, budget, every_request, _OWN)
        delta = budget.delta
        if not epsilon:  # nobody is in any step, so next to nothing is spent
            delta = min(delta for e, delta in self.pairs if not e)
        return Claim(self.sigma, epsilon, Charge(pairs=((epsilon, delta),)))

    def line(self, ceiling: float) -> tuple[str, str]:
        """(name, text) in the printed certificate."""
        return "bound", "(epsilon, delta) pairs proved of the method's own noise, no Gaussian trade-off"


_OWN = "the noise of the method's own steps"  # names the source of the noise in an error


def _distance(bound: Any) -> None:
    number = scalar(bound)
    if not (isinstance(number, Real) and float(number) >= 0):
        raise BadInput(f"a bound must be a distance of at least 0, got {bound}")


def _only_epsilon(budget: Budget) -> None:
    if budget.sigma is not None or budget.distance is not None:
        raise BadInput(
            f"this method's noise is in its own steps, so its budget must be an epsilon and a delta only; leave out "
            f"distance {budget.distance} and sigma {budget.sigma}"
        )


def _fixed_noise(distance: float, sigma: float, budget: Budget, every_request: bool, source: str) -> Claim:
    """The claim of noise that does not depend on the distance."""
    epsilon = read_epsilon(sigma / distance, budget.delta) if distance else 0.0
    epsilon, ratio = _stated(epsilon, budget, every_request, source), distance / sigma
    if budget.epsilon == epsilon:
        # the certificate states the budget's epsilon: the charge must not reveal a smaller one either
        ratio = max(ratio, 1 / noise_ratio(epsilon, budget.delta))
    return Claim(sigma, epsilon, Charge(ratios=(ratio,)))


def _stated(epsilon: float, budget: Budget, every_request: bool, source: str) -> float:
    """`epsilon`, or the budget's if it has one and `epsilon` would reveal something about the request."""
    if budget.epsilon is None:
        return epsilon
    if epsilon > budget.epsilon * (1 + 1e-9):
        raise BadInput(
            f"{source} gives epsilon {epsilon:.4g} at delta {budget.delta:g}, more than the budget's "
            f"{budget.epsilon:g}; raise the noise or the budget"
        )
    return epsilon if every_request else budget.epsilon
