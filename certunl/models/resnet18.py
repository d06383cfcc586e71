"""The pre-activation residual network of Zhang et al. for SVHN."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from certunl.models._layers import Conv, Norm, activate

__all__ = ["ResNet18"]


class ResNet18(nn.Module):
    """A stem, eight pre-activation blocks, the mean over pixels, a dense layer; 11,171,274 parameters on 32 x 32 x 3.

    The stem is a 3 x 3 convolution with norm and activation. There are two blocks for each of the widths 64, 128, 256
    and 512. The first block of each width has stride 2, except for the smallest width.

    Args:
        classes: number of outputs.
        width: the smallest width of the blocks; the others are 2, 4 and 8 times as wide.
        activation: "softplus", "tanh", "gelu", "silu" or "relu".
        norm: "group", or "batch" inside `Frozen`.
        dtype: type of the parameters and the computation.

    Source: He et al. 2016, as in Zhang et al. 2024.  Differs: GroupNorm and softplus by default.
    `Frozen(ResNet18(norm="batch", activation="relu"), statistics)` is the model of the paper with fixed statistics.
    """

    classes: int = 10
    width: int = 64
    activation: str = "softplus"
    norm: str = "group"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = Conv(self.width, 3, 1, 1, bias=False, dtype=self.dtype)(x)
        x = activate(self.activation, Norm(self.norm, self.dtype)(x, train))
        for level in range(4):
            for stride in (1 if level == 0 else 2, 1):
                x = _Block(self.width * 2**level, stride, self.activation, self.norm, self.dtype)(x, train)
        return nn.Dense(self.classes, dtype=self.dtype, param_dtype=self.dtype)(x.mean((1, 2)))


class _Block(nn.Module):
    """x -> shortcut + conv(act(norm(conv(act(norm(x)))))). The shortcut is a 1 x 1 convolution if the shape changes."""

    features: int
    stride: int
    activation: str
    norm: str
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        def conv(size: int, stride: int) -> Conv:
            return Conv(self.features, size, stride, size // 2, bias=False, dtype=self.dtype)

        ready = activate(self.activation, Norm(self.norm, self.dtype)(x, train))
        same = self.stride == 1 and x.shape[-1] == self.features
        shortcut = x if same else conv(1, self.stride)(ready)
        y = activate(self.activation, Norm(self.norm, self.dtype)(conv(3, self.stride)(ready), train))
        return shortcut + conv(3, 1)(y)
