"""Softmax (or linear) regression."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from certunl.errors import positive

__all__ = ["Linear", "shortened"]


def shortened(x: Any, bound: float, numbers: Any = jnp) -> Any:
    """x min(1, bound/‖x‖) for each row x; `numbers` is jax.numpy or NumPy."""
    norms = numbers.linalg.norm(x, axis=1, keepdims=True)
    return x * (bound / numbers.maximum(norms, bound)).astype(x.dtype)


class Linear(nn.Module):
    """outputs = W vec(x) + b; 7,850 parameters for MNIST.

    Args:
        classes: number of outputs.
        bias: whether there is a b; False for data with a constant feature.
        dtype: type of the parameters and the computation.
        bound: the largest norm R of an input; a longer input is shortened, x min(1, R/‖x‖). Certificates then depend on
            the setting R instead of the largest norm in the data. None leaves inputs as they are.
    """

    classes: int = 10
    bias: bool = True
    dtype: Any = jnp.float32
    bound: float | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        if self.bound is not None:
            positive("", bound=self.bound)
            x = shortened(x, self.bound)
        return nn.Dense(self.classes, self.bias, self.dtype, self.dtype)(x)
