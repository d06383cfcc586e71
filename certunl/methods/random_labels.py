"""Random labels: the forgotten examples are learnt again, wrongly, among the others."""

from dataclasses import dataclass
from typing import Any

from certunl.base import Key
from certunl.certificates.update import Unlearner, Update
from certunl.methods._continued import followed, relabelled
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.recipe import Recipe
from certunl.training.run import Run

__all__ = ["RandomLabels"]


@dataclass(frozen=True, kw_only=True)
class RandomLabels(Unlearner):
    """`epochs` more of the loop on everyone present, y_i of each forgotten example drawn uniformly among the classes
    that are not its own, at `learning_rate` (default: the run's last rate).

    Classification only: there are as many classes as the model has outputs. NOT CERTIFIED.
    Source: Golatkar, Achille, Soatto 2020, section 6 (random labels); the baseline of Fan et al. 2024.  Differs: only
    wrong labels are drawn, once, and forgotten and retained examples share batches.
    """

    epochs: int = 1
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        Recipe(epochs=self.epochs, learning_rate=1.0 if self.learning_rate is None else self.learning_rate)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """`key` draws labels and batches. Raises: Diverged when the loss leaves the finite numbers."""
        request = run.check(request)
        problem, recipe, schedule = relabelled(run, request, self.epochs, self.learning_rate, key, "random_labels")
        with Stopwatch() as watch:
            params = followed(problem, recipe, run.params, schedule)
        return updated(run, params, watch, "random_labels")
