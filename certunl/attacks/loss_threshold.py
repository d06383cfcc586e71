"""The loss as the score, the simplest attack."""

from dataclasses import dataclass
from typing import ClassVar

import jax

from certunl.base import Key
from certunl.membership.target import Target

__all__ = ["LossThreshold"]


@dataclass(frozen=True, kw_only=True)
class LossThreshold:
    """Score −loss, because a model fits the examples of its training set better.

    Source: Yeom et al. 2018.
    """

    needs: ClassVar[str] = "model"

    def __call__(self, target: Target, key: Key) -> jax.Array:
        """The scores f[m]; `key` is not used."""
        return target.scores.likelihoods()
