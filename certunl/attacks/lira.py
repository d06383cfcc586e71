"""The likelihood-ratio attack: shadow models with the example are compared with shadow models without it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from certunl.attacks._likelihood import ratios
from certunl.base import Key
from certunl.membership.target import Target

__all__ = ["LiRA"]


@dataclass(frozen=True, kw_only=True)
class LiRA:
    """Score ln N(m; mean_in, std_in) − ln N(m; mean_out, std_out) of the margin m = ln(p/(1 − p)).

    For each example, the first law is fitted to the shadow models that were trained on it, the second to the others.

    Args:
        offline: only the second law is used.
        own_variance: each example has a variance of its own; else all share one. Default: from 64 shadow models on.

    Source: Carlini et al. 2022; the "MIA-L" of Qiao et al. 2025.  Differs: means, not medians; shadow models follow the
    batches of the run, from initial parameters of their own.
    """

    offline: bool = False
    own_variance: bool | None = None
    needs: ClassVar[str] = "shadows"

    def __call__(self, target: Target, key: Key) -> np.ndarray:
        """The scores f[m]; `key` is not used. Raises: BadInput without shadow models."""
        return ratios(target.scores.margins(), target.shadows, self.offline, self.own_variance)
