"""What a release may reveal, and what a line of them has. All arithmetic is float64 on the host."""

import math
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from certunl.typing import BadInput

__all__ = ["Account", "Budget", "read_epsilon"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a release may reveal: (epsilon, delta)-indistinguishable from its reference.

    With `distance`, sigma is fixed before any request, for updates proved to lie within it; with `sigma`, epsilon is
    read off (and may be None here); with neither, sigma follows from the update's own bound.
    """

    epsilon: float | None = None
    delta: float
    distance: float | None = None
    sigma: float | None = None

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


def read_epsilon(ratio: float, delta: float) -> float:
    """The exact epsilon at `delta` for sigma/distance = `ratio`.

    Source: Balle and Wang 2018, theorem 8; computed by dp-accounting.
    """
    import dp_accounting  # takes half a second to import

    try:
        with np.errstate(all="ignore"):
            return float(dp_accounting.get_epsilon_gaussian(ratio, delta))
    except (ValueError, RuntimeError, OverflowError) as error:
        raise BadInput(f"noise of {ratio:g} times the distance gives no finite epsilon; raise sigma") from error


@dataclass(frozen=True, kw_only=True)
class Account:
    """The releases of one line so far, since training or the last exact retraining.

    `ratios` are their proved distances over their noise, inf for a release without a theorem. Gaussian mechanisms of
    ratios r_i are together exactly as distinguishable as one of ratio
    √(sum r_i²) (Dong, Roth, Su 2022, corollary 3.3): that holds for the joint releases against the joint references.
    `failures` is the sum of the solvers' failure probabilities, counted inside the total's delta. `total`: the budget
    of the whole line; a release that would exceed it is refused. An exact retraining starts a new
    account: what follows no longer depends on anyone forgotten before it.
    """

    total: Budget | None = None
    ratios: tuple[float, ...] = ()
    failures: float = 0.0

    def __post_init__(self) -> None:
        if self.total is not None and (self.total.epsilon is None or self.total.sigma or self.total.distance):
            raise BadInput("a total budget is an epsilon and a delta")

    def limited(self, total: Budget | None) -> "Account":
        """The account under `total` (None: the one it has). Raises: BadInput where it has another already."""
        if total is not None and self.total is not None and total != self.total:
            raise BadInput(
                f"this line has a total budget of epsilon {self.total.epsilon:g} at delta {self.total.delta:g} already"
            )
        return replace(self, total=total or self.total)

    def epsilon(self, delta: float) -> float:
        """The composed epsilon at `delta`, failures included; inf where there is none."""
        ratio = math.sqrt(sum(r**2 for r in self.ratios))
        left = delta - self.failures
        if not left > 0 or math.isinf(ratio):
            return math.inf
        return read_epsilon(1 / ratio, left) if ratio else 0.0

    def charge(self, ratio: float | None, failure: float, exact: bool = False) -> "Account":
        """The account after one more release; `exact`: it retrained exactly, with nothing unchecked.

        Raises: BadInput where it would exceed the total, with what is spent and what retraining restores.
        """
        if exact:
            return Account(total=self.total)
        after = replace(
            self, ratios=(*self.ratios, math.inf if ratio is None else ratio), failures=self.failures + failure
        )
        if self.total is None:
            return after
        assert self.total.epsilon is not None
        if (reached := after.epsilon(self.total.delta)) > self.total.epsilon * (1 + 1e-9):
            spent = self.epsilon(self.total.delta)
            what = "it has no proved distance" if ratio is None else f"the line would reach epsilon {reached:.4g}"
            raise BadInput(
                f"this release would exceed the total budget of epsilon {self.total.epsilon:g} at delta "
                f"{self.total.delta:g}: {what}, {spent:.4g} is spent already; retraining on what is "
                f"left (method retrain, distance 0) spends nothing and restores the {spent:.4g}"
            )
        return after
