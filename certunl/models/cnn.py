"""The small convolutional network of Qiao et al."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from certunl.models._layers import activate, convolve_and_pool

__all__ = ["CNN"]


class CNN(nn.Module):
    """conv 5x5 -> pool -> activation for each of `channels`, dense `hidden`, classes; 21,840 parameters on 28 x 28 x 1.

    Args:
        channels: features of each convolution.
        hidden: width of the hidden dense layer.
        classes: number of outputs.
        activation: "softplus", "tanh", "gelu", "silu" or "relu".
        pooling: "average" or "max", over 2 x 2 pixels.
        dtype: type of the parameters and the computation.

    Differs: tanh and average pooling by default; the paper has `activation="relu", pooling="max"`.
    """

    channels: tuple[int, ...] = (10, 20)
    hidden: int = 50
    classes: int = 10
    activation: str = "tanh"
    pooling: str = "average"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for features in self.channels:
            x = activate(self.activation, convolve_and_pool(self.pooling, x, features, 5, self.dtype))
        x = x.reshape(x.shape[0], -1)
        x = activate(self.activation, nn.Dense(self.hidden, dtype=self.dtype, param_dtype=self.dtype)(x))
        return nn.Dense(self.classes, dtype=self.dtype, param_dtype=self.dtype)(x)
