"""The likelihood-ratio attack on unlearning, with shadow models that forgot by the method under attack."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from certunl.attacks._likelihood import ratios
from certunl.base import Key
from certunl.membership.target import Target

__all__ = ["ULiRA"]


@dataclass(frozen=True, kw_only=True)
class ULiRA:
    """LiRA with shadow models that are trained with half of the candidates and then forget this half.

    The shadow models forget by the method under attack. The first law is fitted to the models that forgot the example,
    the second law to the models that were never trained on it. The attack is at chance on exact retraining.

    Args:
        own_variance: each example has a variance of its own; else all share one. Default: from 64 shadow models on.

    Source: Hayes et al. 2024 (U-LiRA).  Differs: each shadow model forgets as many examples together as the request
    has.
    """

    own_variance: bool | None = None
    needs: ClassVar[str] = "unlearned"

    def __call__(self, target: Target, key: Key) -> np.ndarray:
        """The scores f[m]; `key` is not used. Raises: BadInput without shadow models that forgot."""
        return ratios(target.scores.margins(), target.unlearned, False, self.own_variance)
