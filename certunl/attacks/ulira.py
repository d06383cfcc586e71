"""The likelihood-ratio attack on unlearning: the shadow models forgot as the attacked model did."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from certunl.attacks._likelihood import ratios
from certunl.base import Key
from certunl.membership.target import Target

__all__ = ["ULiRA"]


@dataclass(frozen=True, kw_only=True)
class ULiRA:
    """LiRA with shadow models that were trained with half of the candidates and then forgot this half by the method
    under attack: «forgot it» against «never saw it». What exact retraining forgot is at chance.

    Source: Hayes et al. 2024 (U-LiRA).  Differs: each forgets as many together as the request has.
    """

    own_variance: bool | None = None
    needs: ClassVar[str] = "unlearned"

    def __call__(self, target: Target, key: Key) -> np.ndarray:
        """f[m]; `key` is not used. Raises: BadInput without shadow models that forgot."""
        return ratios(target.scores.margins(), target.unlearned, False, self.own_variance)
