"""Softmax (or linear) regression."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from certunl.models._layers import Dense

__all__ = ["Linear"]


class Linear(nn.Module):
    """outputs = W vec(x) + b; 7,850 parameters for MNIST. `bias=False` for data that carry a constant feature."""

    classes: int = 10
    bias: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        return Dense(self.classes, self.bias, self.dtype)(x)
