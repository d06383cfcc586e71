"""Activations, pooling and the convolution, lowered for differentiation inside a scan."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from certunl.typing import BadInput

__all__ = ["Conv", "activate", "pool"]

_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "softplus": nn.softplus,
    "tanh": jnp.tanh,
    "gelu": nn.gelu,
    "silu": nn.silu,
    "relu": nn.relu,
}
_POOLINGS = {"average": jnp.mean, "max": jnp.max}


def activate(name: str, x: jax.Array) -> jax.Array:
    if name not in _ACTIVATIONS:
        raise BadInput(f"unknown activation {name!r}; known are {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name](x)


def pool(name: str, x: jax.Array) -> jax.Array:
    """2 x 2 pooling of f[b, h, w, c] by reshape: `reduce_window` differentiates badly."""
    if name not in _POOLINGS:
        raise BadInput(f"unknown pooling {name!r}; known are {', '.join(_POOLINGS)}")
    b, h, w, c = x.shape
    if h % 2 or w % 2:
        raise BadInput(f"2 x 2 pooling needs an even height and width, got {h} x {w}")
    return _POOLINGS[name](x.reshape(b, h // 2, 2, w // 2, 2, c), axis=(2, 4))


class Conv(nn.Module):
    """A valid convolution with bias. On CPU shifted slices and one matrix product (im2col): `lax.conv` falls off XLA's
    fast path inside a scan there, by a factor of 10 to 40; elsewhere `lax.conv`."""

    features: int
    size: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k, channels = self.size, x.shape[-1]
        shape = (k, k, channels, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), self.dtype)
        x = x.astype(self.dtype)
        if jax.default_backend() == "cpu":
            h, w = x.shape[1] - k + 1, x.shape[2] - k + 1
            shifts = [x[:, i : i + h, j : j + w] for i in range(k) for j in range(k)]
            return jnp.concatenate(shifts, axis=-1) @ kernel.reshape(-1, self.features) + bias
        return (
            jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias
        )
