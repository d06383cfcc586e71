"""The robust attack: the likelihood under the model is compared with the mean likelihood under shadow models."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from certunl.base import Key
from certunl.errors import BadInput
from certunl.membership.target import Target

__all__ = ["RMIA"]


@dataclass(frozen=True, kw_only=True)
class RMIA:
    """Score ln p(x|model) − ln p(x), p(x) the mean of p(x|shadow) over the shadow models.

    Args:
        offline: the mean is over the shadow models that were not trained on x, and p(x) = ((1 + a) mean + (1 − a))/2.
        a: the constant of that formula, in [0, 1]. It has no effect unless `offline`.

    Source: Zarifzadeh, Liu and Shokri 2024, whose score is the share of other examples z with
    [p(x|model)/p(x)] / [p(z|model)/p(z)] >= gamma.  Differs: for one model, that share only grows with the ratio of x.
    The ratio itself therefore gives the same ranking for every gamma, and has no ties.
    """

    offline: bool = False
    a: float = 0.3
    needs: ClassVar[str] = "shadows"

    def __post_init__(self) -> None:
        if not 0 <= self.a <= 1:
            raise BadInput(f"a must lie between 0 and 1, got {self.a!r}")

    def __call__(self, target: Target, key: Key) -> np.ndarray:
        """The scores f[m]; `key` is not used. Raises: BadInput without shadow models."""
        if target.shadows is None:
            raise BadInput("this attack needs shadow models: evaluate(..., shadows=16)")
        inside, likelihoods = (np.asarray(a) for a in (target.shadows.inside, target.shadows.likelihoods))
        mask = ~inside if self.offline else np.ones_like(inside)
        terms = np.where(mask, likelihoods.astype(np.float64), -np.inf)
        reference = np.logaddexp.reduce(terms, axis=0) - np.log(mask.sum(0))
        if self.offline:
            reference = np.log(((1 + self.a) * np.exp(reference) + (1 - self.a)) / 2)
        return np.asarray(target.scores.likelihoods(), np.float64) - reference
