"""The all-convolutional network of Zhang et al. on CIFAR-10."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from certunl.models._layers import Conv, Dense, Norm, activate

__all__ = ["AllCNN"]

_LAYERS = ((96, 3, 1), (96, 3, 1), (192, 3, 2), (192, 3, 1), (192, 3, 1), (192, 3, 2), (192, 3, 1), (192, 1, 1))


class AllCNN(nn.Module):
    """Eight convolutions (features 96, 96, 192, ...; the third and sixth of stride 2, the last 1 x 1), each without
    bias and followed by norm and activation; the mean over pixels; dense `classes`. 1,620,010 parameters on CIFAR-10.

    Source: Springenberg et al. 2015, as in Zhang et al. 2024.  Differs: GroupNorm and softplus by default;
    `Frozen(AllCNN(norm="batch", activation="relu"), statistics)` is the paper's, with its statistics held fixed.
    """

    classes: int = 10
    width: int = 96
    activation: str = "softplus"
    norm: str = "group"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        for features, size, stride in _LAYERS:
            x = Conv(features * self.width // 96, size, stride, size // 2, bias=False, dtype=self.dtype)(x)
            x = activate(self.activation, Norm(self.norm, self.dtype)(x, train))
        return Dense(self.classes, dtype=self.dtype)(x.mean((1, 2)))
