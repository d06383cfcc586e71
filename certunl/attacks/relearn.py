"""What was once known is learnt faster."""

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
    """Score −(mean loss over 0 ... `epochs` epochs of fine-tuning on all candidates together, half of them new)."""

    epochs: int = 5
    needs: ClassVar[str] = "model"

    def __post_init__(self) -> None:
        whole(epochs=self.epochs)

    def __call__(self, target: Target, key: Key) -> np.ndarray:
        """f[m]; `key` draws the batches."""
        losses = relearnt(target.run, target.params, target.candidates, key, self.epochs)
        return -np.minimum(np.nan_to_num(losses, nan=1e6), 1e6).mean(axis=0)
