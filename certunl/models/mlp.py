"""The multilayer perceptron."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from certunl.models._layers import activate

__all__ = ["MLP"]


class MLP(nn.Module):
    """vec(x) -> hidden layers -> classes.

    The default is the network 784-32-32-10 of Zhang et al. on MNIST (26,506 parameters) with a smooth activation;
    `activation="relu"` reproduces theirs.

    Args:
        hidden: width of each hidden layer.
        classes: number of outputs.
        activation: "softplus", "tanh", "gelu", "silu" or "relu".
        dtype: type of the parameters and the computation.
    """

    hidden: tuple[int, ...] = (32, 32)
    classes: int = 10
    activation: str = "softplus"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        for width in self.hidden:
            x = activate(self.activation, nn.Dense(width, dtype=self.dtype, param_dtype=self.dtype)(x))
        return nn.Dense(self.classes, dtype=self.dtype, param_dtype=self.dtype)(x)
