"""The guarantee of an update from any method: a statement, its reference and its assumptions."""

import math
from dataclasses import dataclass, replace
from numbers import Real

from certunl.certificates.budget import UNPROVED, Budget, Common
from certunl.certificates.sharing import shared_claim
from certunl.certificates.statement import Claim, Distance, OwnNoise, Pairs
from certunl.errors import BadInput, one_of

__all__ = ["AFRESH", "REPLAY", "SENSES", "Assumption", "Guarantee", "minimiser"]


REPLAY = "retraining replayed from the same start on the same schedule without the request"

AFRESH = "training afresh on the retained examples alone, with a start and batches drawn anew"


def minimiser(radius: float | None) -> str:
    """The reference of methods that minimise: over all parameters, or over the ball of `radius`."""
    return "the minimiser of the retained risk" + ("" if radius is None else f" over the ball of radius {radius:g}")


MOST_EPSILON, LEAST_DELTA = 20.0, 0.1
"""A certificate is VACUOUS above this epsilon and from this delta: at epsilon 20 odds may change by a factor 5e8."""


@dataclass(frozen=True)
class Assumption:
    """One constant that a bound depends on.

    Args:
        symbol: the constant's letter in the theorem.
        value: the number used in the bound.
        status: "proved" (by the code), "given" (by the user) or "estimated" (measured).
        meaning: the constant in words.
    """

    symbol: str
    value: float
    status: str
    meaning: str = ""

    def __post_init__(self) -> None:
        if self.status not in ("proved", "given", "estimated"):
            raise BadInput(f"status must be proved, given or estimated, got {self.status!r}")


SENSES = {
    "retraining": "retraining on the retained examples, with the same noise (Sekhari et al. 2021, with retraining in "
    "the place of the unlearner that has nothing to forget)",
    "minimiser": "exact minimisation on the retained examples, with the same noise (as Neel et al. 2021, not a replay "
    "of training)",
    "stationary": "minimisation on the retained examples up to that gradient norm, with the same noise",
    "unlearner": "the same unlearner's release with nothing to forget (Sekhari et al. 2021)",
    "noisy training": "the same training on the retained examples, with noise of its own; several releases are "
    "compared with those of one such training",
    "learner": "the learning algorithm's own release on the retained examples (Guo et al. 2020)",
}
"""The mechanism B that a guarantee compares the release A with."""


@dataclass(frozen=True, kw_only=True)
class Guarantee:
    """The statement of a theorem about one update, with its assumptions.

    `certify` does not verify it. It takes the statement and the statuses of the assumptions from the method.

    Args:
        says: a `Distance`, `OwnNoise` or `Pairs`; None if no theorem holds.
        reference: the model, or the distribution of models, that the update is compared with, in words.
        sense: the mechanism that the release is compared with, a name in `SENSES`.
        every_request: the statement is the same for every request of this size.
        from_training: the update depends on the original training run, and so on every example forgotten since, even
            if the model was retrained in between.
        failure_probability: the probability, over the method's own randomness, that the statement is false.
        assumptions: the constants that the statement depends on.
        unchecked: conditions that nobody checked, in words.
        missing: the conditions that a theorem would need, in words, if none holds.
        common: noise of a training that other releases hold too, and that the statement holds for each value of. The
            release is then compared with one that begins with another such training.
        examples: n, the number of examples before the request; None if it is not known. A delta from 1/n gets a line in
            the certificate.
    """

    says: Distance | OwnNoise | Pairs | None
    reference: str
    sense: str = "retraining"
    every_request: bool = False
    from_training: bool = False
    failure_probability: float = 0.0
    assumptions: tuple[Assumption, ...] = ()
    unchecked: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    common: Common | None = None
    examples: int | None = None

    def __post_init__(self) -> None:
        one_of(SENSES, sense=self.sense)
        if not (self.says is None or isinstance(self.says, Distance | OwnNoise | Pairs)):
            raise BadInput(f"says must be a Distance, OwnNoise, Pairs or None, got {self.says!r}")
        if not (isinstance(self.failure_probability, Real) and 0 <= float(self.failure_probability) <= 1):
            raise BadInput(f"failure_probability must lie between 0 and 1, got {self.failure_probability!r}")
        for name, kind in (("assumptions", Assumption), ("unchecked", str), ("missing", str)):
            value = getattr(self, name)
            if not (isinstance(value, tuple) and all(isinstance(one, kind) for one in value)):
                raise BadInput(f"{name} must be a tuple of {kind.__name__}, got {value!r}")

    @property
    def bound(self) -> float | None:
        """The proved distance, of the models or of the two Gaussians of `OwnNoise`; None if there is none."""
        match self.says:
            case Distance(bound=bound) | OwnNoise(apart=bound):
                return bound
        return None

    @property
    def doing_nothing(self) -> float | None:
        """A proved distance of the model before forgetting; None if there is none."""
        return self.says.doing_nothing if isinstance(self.says, Distance) else None

    @property
    def exact(self) -> bool:
        """Whether the update is exact retraining."""
        return isinstance(self.says, Distance) and self.says.exact

    @property
    def replayed(self) -> bool:
        """Whether the update is exact retraining along the run's own schedule. Distances from it measure forgetting."""
        return self.exact and self.reference == REPLAY

    @property
    def restores(self) -> bool:
        """Whether the update is exact retraining with nothing unchecked. It spends nothing, and whoever goes on from it
        begins a new account."""
        return self.exact and not self.unchecked and self.common is None

    @property
    def before(self) -> float | None:
        """The ratio of a training before the update, such as that of features' extractor; None without one."""
        return None if self.common is None or self.common.own else self.common.ratio

    @property
    def own_noise(self) -> float:
        """The standard deviation of the noise that the method's own steps added; 0 if they added none."""
        return self.says.sigma if isinstance(self.says, OwnNoise | Pairs) else 0.0

    @property
    def secret(self) -> str:
        """The digest of the secret that drew the method's own noise; empty without one."""
        return self.says.secret if isinstance(self.says, OwnNoise | Pairs) else ""

    @property
    def gaussian(self) -> bool:
        """Whether the epsilon follows from a Gaussian trade-off. An audit may then test the whole trade-off."""
        return self.says is None or self.says.gaussian

    def trivial(self, ceiling: float) -> "Guarantee":
        """The guarantee itself, or that of output perturbation if it says nothing: the distance `ceiling`."""
        return self if self.says is not None else replace(self, says=Distance(ceiling))

    def claim(self, budget: Budget, ceiling: float) -> Claim:
        """The noise scale, epsilon and charge under `budget`. `ceiling` is the diameter of the ball, inf without one.

        Raises: BadInput if the budget cannot be met.
        """
        if self.says is None:
            if budget.distance is not None:
                raise BadInput(
                    f"the budget fixes a distance of {budget.distance:g}, but nothing is proved of this update's "
                    "distance; give the method constants (assumed=...), or use a budget without distance"
                )
            claim = Claim(budget.sigma or 0.0, None, UNPROVED)
        elif self.common is not None and not self.common.own:
            claim = shared_claim(self.says, self.common, budget, self.every_request, ceiling)
        else:
            claim = self.says.claim(budget, self.every_request, ceiling)
        charge = claim.charge._replace(failures=self.failure_probability)
        if self.common is not None and self.common.own and charge.pairs:
            charge = charge._replace(common=(replace(self.common, paired=True, pair=charge.pairs[0]),))
        elif self.common is not None and self.common.own and math.isfinite(charge.ratios[0]):
            charge = charge._replace(common=(replace(self.common, ratio=charge.ratios[0]),), ratios=(0.0,))
        return claim._replace(charge=charge)

    def verdict(self, claim: Claim, budget: Budget, ceiling: float) -> str:
        """PROVED, CONDITIONAL, VACUOUS or NOT CERTIFIED.

        PROVED needs noise that does not depend on the request. A release of epsilon above 20 or delta from 0.1 is
        VACUOUS, because it hides next to nothing.
        """
        if self.says is None or claim.epsilon is None:
            return "NOT CERTIFIED"
        if self.says.vacuous(claim, budget, ceiling) or claim.epsilon > MOST_EPSILON or budget.delta >= LEAST_DELTA:
            return "VACUOUS"
        proved = all(a.status == "proved" for a in self.assumptions) and not self.unchecked
        proved = proved and bool(self.assumptions or self.exact)  # nobody proved a bound without assumptions
        return "PROVED" if proved and self.fixed(budget) else "CONDITIONAL"

    def fixed(self, budget: Budget) -> bool:
        """Whether the noise does not depend on the request."""
        return bool(budget.distance or budget.sigma or self.own_noise or self.every_request)
