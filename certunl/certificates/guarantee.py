"""What a bound says, and of what: assumptions, references, senses."""

from dataclasses import dataclass

from certunl.errors import BadInput

__all__ = ["REPLAY", "SENSES", "Assumption", "minimiser"]


REPLAY = "retraining replayed from the same start on the same schedule without the request"


def minimiser(radius: float | None) -> str:
    """The reference of methods that minimise, in a ball where training keeps to one."""
    return "the minimiser of the retained risk" + ("" if radius is None else f" over the ball of radius {radius:g}")


@dataclass(frozen=True)
class Assumption:
    """One constant a bound rests on. `status`: "proved" (by the code), "given" (by the user), "estimated"."""

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
