"""The robust attack: how many other examples does this one beat?"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from certunl.typing import BadInput, Key, Target

__all__ = ["RMIA"]


@dataclass(frozen=True, kw_only=True)
class RMIA:
    """The share of population examples z with [p(x|model)/p(x)] / [p(z|model)/p(z)] >= `gamma`, p(x) the mean over the
    shadow models, p(z) likewise; z were in none of them.

    `offline`: p(x) = ((1 + a) p_out(x) + (1 − a))/2 from the models that did not see x.
    Source: Zarifzadeh, Liu and Shokri 2024.  Differs: ties are broken by the ratio itself, so that a small population
    gives a fine ROC curve.
    """

    gamma: float = 2.0
    offline: bool = False
    a: float = 0.3
    needs: ClassVar[str] = "shadows"

    def __post_init__(self) -> None:
        if not (self.gamma > 0 and 0 <= self.a <= 1):
            raise BadInput(f"gamma must be positive and a in [0, 1], got {self.gamma!r} and {self.a!r}")

    def __call__(self, target: Target, key: Key) -> np.ndarray:
        """f[m]; `key` is not used. Raises: BadInput without shadow models or population."""
        shadows = target.shadows
        if shadows is None or not len(target.population):
            raise BadInput("this attack needs shadow models and test examples beyond the candidates")
        inside = np.asarray(shadows.inside)
        mine = _odds(target.scores.losses, shadows.losses, ~inside if self.offline else np.ones_like(inside), self)
        everyone = np.ones(np.shape(shadows.population), bool)
        others = np.sort(_odds(target.population, shadows.population, everyone, self))
        beaten = np.searchsorted(others, mine - np.log(self.gamma), side="right") / len(others)
        return beaten + 1e-6 * (mine - mine.min()) / (np.ptp(mine) + 1e-300) / len(others)


def _odds(losses: object, shadow_losses: object, mask: np.ndarray, settings: RMIA) -> np.ndarray:
    """ln p(x|model) − ln p(x), f[m], over the models where `mask[s, m]`."""
    held = np.where(mask, -np.asarray(shadow_losses, np.float64), -np.inf)
    reference = np.logaddexp.reduce(held, axis=0) - np.log(mask.sum(0))
    if settings.offline:
        reference = np.log(((1 + settings.a) * np.exp(reference) + (1 - settings.a)) / 2)
    return -np.asarray(losses, np.float64) - reference
