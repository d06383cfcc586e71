"""Negative gradient: the loop on the forgotten examples with weights −1."""

from dataclasses import dataclass
from typing import Any

from certunl.base import Key
from certunl.certificates.update import Unlearner, Update
from certunl.methods._continued import continued
from certunl.training.recipe import Recipe
from certunl.training.run import Run

__all__ = ["NegGrad"]


@dataclass(frozen=True, kw_only=True)
class NegGrad(Unlearner):
    """`epochs` of gradient ascent on the request's losses, at `learning_rate` (default: the run's last rate).

    Ascent has no end: too many epochs destroy the model. NOT CERTIFIED.
    """

    epochs: int = 1
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        Recipe(epochs=self.epochs, learning_rate=1.0 if self.learning_rate is None else self.learning_rate)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """`key` draws the batches. Raises: Diverged when the loss leaves the finite numbers."""
        return continued(run, run.check(request), -1.0, self.epochs, self.learning_rate, key, "neggrad")
