"""What a release may reveal, and what a line of them has. All arithmetic is float64 on the host."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from certunl.certificates.gaussian import read_epsilon, zcdp_epsilon
from certunl.errors import BadInput, one_of, positive, share

__all__ = ["UNPROVED", "Account", "Budget", "Charge"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a release may reveal: (epsilon, delta)-indistinguishable from its reference.

    With `distance`, sigma is fixed before any request, for updates proved to lie within it; with `sigma`, epsilon is
    read off, and where it is given here as well a release that needs more is refused; with neither, sigma follows from
    the update's own bound. `calibration` "classical" is the older rule for sigma (`classical_ratio`), for reproduction
    and epsilon up to 1 only: the epsilon a certificate states is exact for either.
    """

    epsilon: float | None = None
    delta: float
    distance: float | None = None
    sigma: float | None = None
    calibration: str = "analytic"

    def __post_init__(self) -> None:
        if self.epsilon is None and self.sigma is None:
            raise BadInput("a budget needs epsilon, or a fixed sigma from which epsilon is read off")
        positive("", epsilon=self.epsilon, distance=self.distance, sigma=self.sigma)
        share(delta=self.delta)
        if self.distance is not None and self.sigma is not None:
            raise BadInput("give distance or sigma, not both: each fixes the noise")
        one_of(("analytic", "classical"), calibration=self.calibration)
        if self.calibration == "classical" and self.sigma is not None:
            raise BadInput("sigma fixes the noise: there is nothing for the classical rule to calibrate")
        if self.calibration == "classical" and (self.epsilon is None or self.epsilon > 1):
            raise BadInput("the classical rule is proved for epsilon up to 1 only; use analytic calibration beyond")


class Charge(NamedTuple):
    """What one release spends.

    Args:
        ratios: the proved distance over the noise's standard deviation; inf where nothing is proved.
        pairs: the (epsilon, delta) of noise that is no Gaussian.
        failures: the probability that the statement fails by the method's own randomness.
    """

    ratios: tuple[float, ...] = ()
    pairs: tuple[tuple[float, float], ...] = ()
    failures: float = 0.0


UNPROVED = Charge(ratios=(math.inf,))
"""The charge of a release without a theorem."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """The releases of one line so far, since training or the last exact retraining.

    `ratios` are their proved distances over their noise, inf for a release without a theorem. Gaussian mechanisms of
    ratios r_i are together exactly as distinguishable as one of ratio
    √(sum r_i²) (Dong, Roth, Su 2022, corollary 3.3): that holds for the joint releases against the joint references.
    `pairs` are the (epsilon, delta) of releases whose noise is no Gaussian: they are added. `failures` is the sum of
    the solvers' failure probabilities, counted inside the total's delta. `total`: the budget of the whole line; a
    release that would exceed it is refused. An exact retraining starts a new account, `before` being the old one: what
    goes on from the retrained model no longer depends on anyone forgotten before it. What goes back to training as it
    was still does, and is counted with all of them.
    """

    total: Budget | None = None
    ratios: tuple[float, ...] = ()
    pairs: tuple[tuple[float, float], ...] = ()
    failures: float = 0.0
    before: "Account | None" = None

    def __post_init__(self) -> None:
        if self.total is not None and (self.total.epsilon is None or self.total.sigma or self.total.distance):
            raise BadInput("a total budget is an epsilon and a delta")

    @property
    def releases(self) -> int:
        """How many it holds."""
        return len(self.ratios) + len(self.pairs)

    @property
    def least_delta(self) -> float:
        """What every statement about all releases fails with at least: their failures, and the pairs' deltas."""
        return self.failures + sum(delta for _, delta in self.pairs)

    def limited(self, total: Budget | None) -> "Account":
        """The account under `total` (None: the one it has). Raises: BadInput where it has another already."""
        if total is not None and self.total is not None and total != self.total:
            raise BadInput(
                f"this line has a total budget of epsilon {self.total.epsilon:g} at delta {self.total.delta:g} already"
            )
        return replace(self, total=total or self.total)

    def epsilon(self, delta: float) -> float:
        """The composed epsilon at `delta`, failures included; inf where there is none."""
        return self._composed(delta, lambda ratio, left: read_epsilon(1 / ratio, left))

    def zcdp_epsilon(self, delta: float) -> float:
        """The same by zero-concentrated differential privacy, as a check: never below `epsilon`."""
        return self._composed(delta, zcdp_epsilon)

    def _composed(self, delta: float, gaussian: Callable[[float, float], float]) -> float:
        ratio, added = math.sqrt(sum(r**2 for r in self.ratios)), sum(epsilon for epsilon, _ in self.pairs)
        left = delta - self.least_delta
        if math.isinf(ratio) or left < 0 or (left == 0 and (ratio or not self.pairs)):
            return math.inf
        return added + (gaussian(ratio, left) if ratio else 0.0)

    def charge(self, charge: Charge, *, exact: bool = False, from_training: bool = False) -> "Account":
        """The account after one more release.

        Args:
            charge: what the release spends.
            exact: the release is an exact retraining with nothing unchecked. It begins a new account.
            from_training: the release depends on the original training run. It is counted with every release since,
                even if the model was retrained in between.

        Raises: BadInput where the total would be exceeded. The sentence says what is spent, and whether an exact
        retraining restores it.
        """
        if exact:
            return Account(total=self.total, before=self)
        if from_training and self.before is not None:
            since = self.before._with(Charge(self.ratios, self.pairs, self.failures))
            return replace(since, total=self.total).charge(charge, from_training=True)
        after = self._with(charge)
        if self.total is None:
            return after
        assert self.total.epsilon is not None  # __post_init__ checks it
        if (reached := after.epsilon(self.total.delta)) > self.total.epsilon * (1 + 1e-9):
            spent = self.epsilon(self.total.delta)
            what = f"the line would reach epsilon {reached:.4g}"
            if charge.ratios == UNPROVED.ratios:
                what = "it has no proved distance"
            restored = f"and restores the {spent:.4g}, unless the data or the model leave something unchecked"
            if from_training:
                restored = "but restores nothing to a method that goes back to training as it was"
            raise BadInput(
                f"this release would exceed the total budget of epsilon {self.total.epsilon:g} at delta "
                f"{self.total.delta:g}: {what}, {spent:.4g} is spent already; retraining on what is left (method "
                f"retrain, distance 0) spends nothing, {restored}"
            )
        return after

    def _with(self, charge: Charge) -> "Account":
        return replace(
            self,
            ratios=(*self.ratios, *charge.ratios),
            pairs=(*self.pairs, *charge.pairs),
            failures=self.failures + charge.failures,
        )
