"""What is proved of an update, whatever method made it: a statement, its reference, and what it rests on."""

from dataclasses import dataclass, replace
from numbers import Real

from certunl.certificates.budget import UNPROVED, Budget
from certunl.certificates.statement import Claim, Distance, OwnNoise, Pairs
from certunl.errors import BadInput, one_of

__all__ = ["REPLAY", "SENSES", "Assumption", "Guarantee", "minimiser"]


REPLAY = "retraining replayed from the same start on the same schedule without the request"


def minimiser(radius: float | None) -> str:
    """The reference of methods that minimise, in a ball where training keeps to one."""
    return "the minimiser of the retained risk" + ("" if radius is None else f" over the ball of radius {radius:g}")


@dataclass(frozen=True)
class Assumption:
    """One constant a bound rests on.

    Args:
        symbol: the constant's letter in the theorem.
        value: the number that was used.
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
    "retraining": "retraining on who is left, with the same noise (Sekhari et al. 2021; in the place of the unlearner "
    "with nothing to forget)",
    "minimiser": "exact minimisation on who is left, with the same noise (as Neel et al. 2021; no replay of training)",
    "unlearner": "the same unlearner's with nothing to forget (Sekhari et al. 2021)",
    "learner": "the learning algorithm's own on who is left (Guo et al. 2020)",
}
"""Which two mechanisms a guarantee compares."""


@dataclass(frozen=True, kw_only=True)
class Guarantee:
    """What a theorem says of one update, and under which assumptions.

    `certify` believes it: the statuses of the assumptions are the word of whoever made the guarantee.

    Args:
        says: a `Distance`, `OwnNoise` or `Pairs`; None where no theorem holds.
        reference: the model, or the law of models, that the update is compared with.
        sense: which two mechanisms are compared, a name in `SENSES`.
        every_request: the statement is the same for every request of this size.
        from_training: the update depends on the original training run, and so on every example forgotten since, even
            if the model was retrained in between.
        failure_probability: the probability, over the method's own randomness, that the statement is false.
        assumptions: the constants it rests on.
        unchecked: conditions that nobody checked, in words.
        missing: what a theorem would have needed where none holds, in words.
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

    def __post_init__(self) -> None:
        one_of(SENSES, sense=self.sense)
        if not (self.says is None or isinstance(self.says, Distance | OwnNoise | Pairs)):
            raise BadInput(f"a guarantee says a Distance, OwnNoise, Pairs or None, got {self.says!r}")
        if not (isinstance(self.failure_probability, Real) and 0 <= float(self.failure_probability) <= 1):
            raise BadInput(f"failure_probability must lie between 0 and 1, got {self.failure_probability!r}")
        for name, kind in (("assumptions", Assumption), ("unchecked", str), ("missing", str)):
            held = getattr(self, name)
            if not (isinstance(held, tuple) and all(isinstance(one, kind) for one in held)):
                raise BadInput(f"{name} must be a tuple of {kind.__name__}, got {held!r}")

    @property
    def bound(self) -> float | None:
        """The distance that is proved, of models or of the two Gaussians that stand for them; None if there is none."""
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
        """Whether the update is retraining itself."""
        return isinstance(self.says, Distance) and self.says.exact

    @property
    def own_noise(self) -> float:
        """The standard deviation of the noise that the update carries already, 0 if it carries none."""
        return self.says.sigma if isinstance(self.says, OwnNoise | Pairs) else 0.0

    @property
    def gaussian(self) -> bool:
        """Whether the epsilon is read off a Gaussian trade-off, which an audit may then test as a whole."""
        return self.says is None or self.says.gaussian

    def trivial(self, ceiling: float) -> "Guarantee":
        """The guarantee of output perturbation where there is no other: any two models of the ball."""
        return self if self.says is not None else replace(self, says=Distance(ceiling))

    def claim(self, budget: Budget, ceiling: float) -> Claim:
        """The noise and epsilon that `budget` makes of it; `ceiling` is the diameter of the ball, inf without one.

        Raises: BadInput where the budget cannot be kept.
        """
        if self.says is None:
            if budget.distance is not None:
                raise BadInput(
                    f"the budget fixes a distance of {budget.distance:g}, and nothing is proved of this update's: give "
                    "it constants (assumed=...), or a budget without distance"
                )
            claim = Claim(budget.sigma or 0.0, None, UNPROVED)
        else:
            claim = self.says.claim(budget, self.every_request, ceiling)
        return claim._replace(charge=claim.charge._replace(failures=self.failure_probability))

    def verdict(self, claim: Claim, budget: Budget, ceiling: float) -> str:
        """PROVED, CONDITIONAL, VACUOUS or NOT CERTIFIED. The noise of a PROVED release depends on no request."""
        if self.says is None or claim.epsilon is None:
            return "NOT CERTIFIED"
        if self.says.vacuous(claim, budget, ceiling):
            return "VACUOUS"
        fixed = budget.distance is not None or budget.sigma is not None or self.own_noise or self.every_request
        proved = all(a.status == "proved" for a in self.assumptions) and not self.unchecked
        proved = proved and bool(self.assumptions or self.exact)  # a bare bound is somebody's word
        return "PROVED" if proved and fixed else "CONDITIONAL"
