"""Activations, pooling, normalisation and convolutions that are fast to differentiate inside a scan."""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from certunl.base import platform
from certunl.errors import BadInput

__all__ = ["Conv", "GroupNorm", "Norm", "activate", "convolve_and_pool", "pool"]

_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "softplus": nn.softplus,
    "tanh": jnp.tanh,
    "gelu": nn.gelu,
    "silu": nn.silu,
    "relu": nn.relu,
}
_POOLINGS = {"average": jnp.mean, "max": jnp.max}


def activate(name: str, x: jax.Array) -> jax.Array:
    """The activation `name` of x."""
    if name not in _ACTIVATIONS:
        raise BadInput(f"unknown activation {name!r}; choose from {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name](x)


def pool(name: str, x: jax.Array) -> jax.Array:
    """2 x 2 pooling of f[b, h, w, c]. It reshapes, because `reduce_window` is slow to differentiate."""
    if name not in _POOLINGS:
        raise BadInput(f"unknown pooling {name!r}; choose from {', '.join(_POOLINGS)}")
    b, h, w, c = x.shape
    if h % 2 or w % 2:
        raise BadInput(f"2 x 2 pooling needs an even height and width, got {h} x {w}")
    return _POOLINGS[name](x.reshape(b, h // 2, 2, w // 2, 2, c), axis=(2, 4))


def _biased(y: jax.Array, bias: jax.Array) -> jax.Array:
    """y + bias along the last axis, also where JAX refuses to add axes by itself."""
    return y + bias.reshape((1,) * (y.ndim - 1) + bias.shape)


def convolve_and_pool(pooling: str, x: jax.Array, features: int, size: int, dtype: Any) -> jax.Array:
    """A convolution followed by 2 x 2 pooling; only for use in a compact method."""
    if pooling == "average":
        return Conv(features, size, dtype=dtype, averaged=True)(x)
    return pool(pooling, Conv(features, size, dtype=dtype)(x))


class GroupNorm(nn.Module):
    """Each of `groups` groups of channels of an example, normalised to mean 0 and variance 1, then an affine map.

    Mean and variance are over the channels of the group and all pixels. flax's own layer casts to float32 and fails in
    float64. Source: Wu and He 2018, eq. 1 to 4.
    """

    groups: int = 32
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        if channels % self.groups:
            raise BadInput(f"GroupNorm needs a number of channels that {self.groups} groups divide, got {channels}")
        scale = self.param("scale", nn.initializers.ones, (channels,), self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (channels,), self.dtype)
        grouped = x.reshape(x.shape[0], -1, self.groups, channels // self.groups)
        centred = grouped - grouped.mean((1, 3), keepdims=True)
        centred *= jax.lax.rsqrt(jnp.mean(centred**2, (1, 3), keepdims=True) + 1e-5)
        wide = (1,) * (x.ndim - 1) + scale.shape
        return centred.reshape(x.shape) * scale.reshape(wide) + bias.reshape(wide)


class Norm(nn.Module):
    """GroupNorm for the kind "group", BatchNorm for "batch".

    BatchNorm keeps statistics of its inputs, which are state. A call with train=True updates them. A problem accepts
    such a model only inside `models.Frozen`, which holds them fixed.
    """

    kind: str
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        if self.kind == "group":
            return GroupNorm(dtype=self.dtype)(x)
        if self.kind == "batch":
            settings = {"dtype": self.dtype, "param_dtype": self.dtype, "force_float32_reductions": False}
            return nn.BatchNorm(use_running_average=not train, **settings)(x)
        raise BadInput(f'norm must be "group", or "batch" inside models.Frozen, got {self.kind!r}')


class Conv(nn.Module):
    """A convolution with `size` x `size` kernels.

    On a CPU it consists of shifted slices and matrix products, because `lax.conv` inside a scan misses XLA's fast path
    there and is 10 to 40 times slower. On other devices it is `lax.conv`.

    `averaged` adds average pooling over 2 x 2 outputs. The average of four shifted kernels is one kernel with a side
    longer by 1, so a single convolution of stride 2 gives the same numbers (for 5 x 5 kernels from about a third of the
    products).
    """

    features: int
    size: int
    stride: int = 1
    padding: int = 0
    bias: bool = True
    dtype: Any = jnp.float32
    averaged: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k, stride, channels = self.size, self.stride, x.shape[-1]
        shape = (k, k, channels, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, self.dtype)
        if self.averaged:
            sides = [(n + 2 * self.padding - k) // stride + 1 for n in x.shape[1:3]]
            if stride != 1 or any(side % 2 for side in sides):
                raise BadInput(f"2 x 2 pooling needs stride 1 and an even height and width, got {stride} and {sides}")
            # (K + K shifted by one place)/2 along each axis is the average over the four places of a 2 x 2 window
            for axis in (0, 1):
                one = [(int(a == axis), 0) for a in range(4)]
                kernel = (jnp.pad(kernel, one) + jnp.pad(kernel, [pair[::-1] for pair in one])) / 2
            stride = 2
        y = _convolve(x.astype(self.dtype), kernel, stride, self.padding)
        return _biased(y, self.param("bias", nn.initializers.zeros, (self.features,), self.dtype)) if self.bias else y


@partial(jax.jit, static_argnames=("stride", "padding"))
def _convolve(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """The convolution. `solvers.LiSSA` recognises it in a compiled program by the name of this function."""
    k, channels, features = kernel.shape[1:]
    if platform() != "cpu":
        borders = ((padding, padding), (padding, padding))
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (stride, stride), borders, dimension_numbers=layout)
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    h, w = ((x.shape[axis] - k) // stride + 1 for axis in (1, 2))
    if h < 1 or w < 1:
        raise BadInput(f"a {k} x {k} kernel does not fit an input of {x.shape[1]} x {x.shape[2]}")
    rows = [slice(i, i + (h - 1) * stride + 1, stride) for i in range(k)]
    columns = [slice(j, j + (w - 1) * stride + 1, stride) for j in range(k)]
    if channels < 4:  # pixels last, because copies of only a few channels at a time are slow
        planes = jnp.moveaxis(x, -1, 1)
        patches = jnp.stack([planes[:, :, i, j] for i in rows for j in columns], axis=1)
        patches = patches.reshape(x.shape[0], k * k * channels, h * w)
        return jnp.einsum("bkp,kf->bpf", patches, kernel.reshape(-1, features)).reshape(-1, h, w, features)
    strips = jnp.concatenate([x[:, i] for i in rows], axis=-1)  # k copies of the input instead of k²
    parts = [strips[:, :, j] @ kernel[:, column].reshape(-1, features) for column, j in enumerate(columns)]
    return reduce(jnp.add, parts)
