"""Low loss: the simplest attack."""

from dataclasses import dataclass
from typing import ClassVar

import jax

from certunl.base import Key
from certunl.membership.target import Target

__all__ = ["LossThreshold"]


@dataclass(frozen=True, kw_only=True)
class LossThreshold:
    """Score −loss: who was in is fitted better.

    Source: Yeom et al. 2018.
    """

    needs: ClassVar[str] = "model"

    def __call__(self, target: Target, key: Key) -> jax.Array:
        """f[m]; `key` is not used."""
        return target.scores.likelihoods()
