"""The all-convolutional network of Zhang et al. for CIFAR-10."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from certunl.models._layers import Conv, Norm, activate

__all__ = ["AllCNN"]

_LAYERS = ((96, 3, 1), (96, 3, 1), (192, 3, 2), (192, 3, 1), (192, 3, 1), (192, 3, 2), (192, 3, 1), (192, 1, 1))


class AllCNN(nn.Module):
    """Eight convolutions, the mean over pixels and a dense layer; 1,620,010 parameters on CIFAR-10.

    The convolutions have 96, 96, 192, ... features and no bias. The third and sixth have stride 2, the last is 1 x 1.
    Each is followed by norm and activation.

    Args:
        classes: number of outputs.
        width: features of the first convolution; the others scale with it.
        activation: "softplus", "tanh", "gelu", "silu" or "relu".
        norm: "group", or "batch" inside `Frozen`.
        dtype: type of the parameters and the computation.

    Source: Springenberg et al. 2015, as in Zhang et al. 2024.  Differs: GroupNorm and softplus by default.
    `Frozen(AllCNN(norm="batch", activation="relu"), statistics)` is the model of the paper with fixed statistics.
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
        return nn.Dense(self.classes, dtype=self.dtype, param_dtype=self.dtype)(x.mean((1, 2)))
