"""Fine-tuning on what is left: the usual heuristic baseline."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from certunl.base import Key
from certunl.certificates.update import Unlearner, Update
from certunl.methods._continued import continued
from certunl.training.recipe import Recipe
from certunl.training.run import Run

__all__ = ["FineTune"]


@dataclass(frozen=True, kw_only=True)
class FineTune(Unlearner):
    """`epochs` more of the training loop on the retained examples, at `learning_rate` (default: the run's last rate).

    Nothing is subtracted: the model only forgets as it would by itself. NOT CERTIFIED.
    """

    epochs: int = 1
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        Recipe(epochs=self.epochs, learning_rate=1.0 if self.learning_rate is None else self.learning_rate)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """`key` draws the batches. Raises: Diverged when the loss leaves the finite numbers."""
        rows = np.flatnonzero(run.retained(run.check(request)))
        return continued(run, rows, 1.0, self.epochs, self.learning_rate, key, "finetune")
