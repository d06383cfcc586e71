"""The likelihood-ratio attack: is the model's confidence like that of models that saw the example, or did not?"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from certunl.attacks._likelihood import ratios
from certunl.base import Key
from certunl.membership.target import Target

__all__ = ["LiRA"]


@dataclass(frozen=True, kw_only=True)
class LiRA:
    """ln N(m; mean_in, std_in) − ln N(m; mean_out, std_out) of the margin m = ln(p/(1 − p)), the laws fitted for each
    example over the shadow models that saw it and those that did not. `offline`: only the latter are used.

    `own_variance`: each example's own (default: from 64 shadow models on; below, one for all).
    Source: Carlini et al. 2022; the «MIA-L» of Qiao et al. 2025.  Differs: means, not medians; shadow models go
    along the batches of the run, from initial parameters of their own.
    """

    offline: bool = False
    own_variance: bool | None = None
    needs: ClassVar[str] = "shadows"

    def __call__(self, target: Target, key: Key) -> np.ndarray:
        """f[m]; `key` is not used. Raises: BadInput without shadow models."""
        return ratios(target.scores.margins(), target.shadows, self.offline, self.own_variance)
