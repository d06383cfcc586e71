"""What a release may reveal, and what a line of them has. All arithmetic is float64 on the host."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real

from certunl.certificates.gaussian import read_epsilon, zcdp_epsilon
from certunl.errors import BadInput

__all__ = ["Account", "Budget"]


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
        for name in ("epsilon", "distance", "sigma"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Real) and 0 < float(value) < math.inf):
                raise BadInput(f"{name} must be a positive number, got {value!r}")
        if not (isinstance(self.delta, Real) and 0 < float(self.delta) < 1):
            raise BadInput(f"delta must lie strictly between 0 and 1, got {self.delta!r}")
        if self.distance is not None and self.sigma is not None:
            raise BadInput("give distance or sigma, not both: each fixes the noise")
        if self.calibration not in ("analytic", "classical"):
            raise BadInput(f"calibration must be analytic or classical, got {self.calibration!r}")
        if self.calibration == "classical" and (self.epsilon is None or self.epsilon > 1):
            raise BadInput("the classical rule is proved for epsilon up to 1 only; use analytic calibration beyond")


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

    def charge(
        self,
        ratio: float | None,
        failure: float,
        *,
        pair: tuple[float, float] | None = None,
        exact: bool = False,
        looks_back: bool = False,
    ) -> "Account":
        """The account after one more release, of this `ratio` (None: no theorem) or this `pair`; `exact`: it retrained
        exactly, with nothing unchecked; `looks_back`: to everyone since training, retrained or not.

        Raises: BadInput where it would exceed the total, with what is spent and whether retraining restores it: not to
        what looks back, and not where anything is unchecked.
        """
        if exact:
            return Account(total=self.total, before=self)
        if looks_back and self.before is not None:
            old = self.before
            ratios, pairs = (*old.ratios, *self.ratios), (*old.pairs, *self.pairs)
            failed = old.failures + self.failures
            whole = replace(old, total=self.total, ratios=ratios, pairs=pairs, failures=failed)
            return whole.charge(ratio, failure, pair=pair, looks_back=True)
        failures = self.failures + failure
        if pair is None:
            after = replace(self, ratios=(*self.ratios, math.inf if ratio is None else ratio), failures=failures)
        else:
            after = replace(self, pairs=(*self.pairs, pair), failures=failures)
        if self.total is None:
            return after
        assert self.total.epsilon is not None
        if (reached := after.epsilon(self.total.delta)) > self.total.epsilon * (1 + 1e-9):
            spent = self.epsilon(self.total.delta)
            unproved = ratio is None and pair is None
            what = "it has no proved distance" if unproved else f"the line would reach epsilon {reached:.4g}"
            restored = f"and restores the {spent:.4g}, unless the data or the model leave something unchecked"
            if looks_back:
                restored = "but restores nothing to a method that goes back to training as it was"
            raise BadInput(
                f"this release would exceed the total budget of epsilon {self.total.epsilon:g} at delta "
                f"{self.total.delta:g}: {what}, {spent:.4g} is spent already; retraining on what is left (method "
                f"retrain, distance 0) spends nothing, {restored}"
            )
        return after
