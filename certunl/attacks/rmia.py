"""The robust attack: does the model like the example better than models at large do?"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from certunl.base import Key
from certunl.errors import BadInput
from certunl.membership.target import Target

__all__ = ["RMIA"]


@dataclass(frozen=True, kw_only=True)
class RMIA:
    """ln p(x|model) − ln p(x), p(x) the mean of p(x|shadow) over the shadow models; `offline` over those that did not
    see x, p(x) = ((1 + a) mean + (1 − a))/2.

    Source: Zarifzadeh, Liu and Shokri 2024, whose score is the share of other examples z with
    [p(x|model)/p(x)] / [p(z|model)/p(z)] >= gamma.  Differs: of one model that share only grows with the ratio of x, so
    the ratio itself ranks alike, for every gamma, and has no ties.
    """

    offline: bool = False
    a: float = 0.3
    needs: ClassVar[str] = "shadows"

    def __post_init__(self) -> None:
        if not 0 <= self.a <= 1:
            raise BadInput(f"a must lie in [0, 1], got {self.a!r}")

    def __call__(self, target: Target, key: Key) -> np.ndarray:
        """f[m]; `key` is not used. Raises: BadInput without shadow models."""
        if target.shadows is None:
            raise BadInput("this attack needs shadow models: evaluate(..., shadows=16)")
        inside, given = (np.asarray(a) for a in (target.shadows.inside, target.shadows.likelihoods))
        mask = ~inside if self.offline else np.ones_like(inside)
        held = np.where(mask, given.astype(np.float64), -np.inf)
        reference = np.logaddexp.reduce(held, axis=0) - np.log(mask.sum(0))
        if self.offline:
            reference = np.log(((1 + self.a) * np.exp(reference) + (1 - self.a)) / 2)
        return np.asarray(target.scores.likelihoods(), np.float64) - reference
