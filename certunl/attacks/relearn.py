"""The speed of relearning as the score: a model learns again faster the examples that it once learnt."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from certunl.base import Key
from certunl.errors import whole
from certunl.membership.relearning import relearnt
from certunl.membership.target import Target

__all__ = ["Relearn"]


@dataclass(frozen=True, kw_only=True)
class Relearn:
    """Score −(mean loss after 0, 1, ... `epochs` epochs of fine-tuning on all candidates together).

    Args:
        epochs: number of epochs of fine-tuning.
    """

    epochs: int = 5
    needs: ClassVar[str] = "model"

    def __post_init__(self) -> None:
        whole(epochs=self.epochs)

    def __call__(self, target: Target, key: Key) -> np.ndarray:
        """The scores f[m]; `key` draws the batches."""
        losses = relearnt(target.run, target.params, target.candidates, key, self.epochs)
        return -np.minimum(np.nan_to_num(losses, nan=1e6), 1e6).mean(axis=0)
