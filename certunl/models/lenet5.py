"""LeNet-5, the second network of Qiao et al. for Fashion-MNIST."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from certunl.errors import BadInput
from certunl.models._layers import activate, convolve_and_pool

__all__ = ["LeNet5"]

_FIELD = 32  # the side of the images that the network was designed for


class LeNet5(nn.Module):
    """conv 5x5-6 -> pool -> activation, conv 5x5-16 -> pool -> activation, dense 120, 84, classes.

    It has 61,706 parameters on 28 x 28 x 1. A smaller image is put into the middle of 32 x 32 zeros.

    Args:
        classes: number of outputs.
        activation: "softplus", "tanh", "gelu", "silu" or "relu".
        pooling: "average" or "max", over 2 x 2 pixels.
        dtype: type of the parameters and the computation.

    Source: LeCun et al. 1998. Differs: each channel of the second convolution reads all channels of the first, pooling
    has no weights and the outputs are linear, as is usual today. `activation="relu", pooling="max"` reproduce Qiao et
    al.
    """

    classes: int = 10
    activation: str = "tanh"
    pooling: str = "average"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if x.ndim != 4:
            raise BadInput(f"LeNet-5 needs images [n, h, w, c], got inputs of shape {list(x.shape)}")
        missing = [max(_FIELD - side, 0) for side in x.shape[1:3]]
        x = jnp.pad(x, ((0, 0), *((side // 2, side - side // 2) for side in missing), (0, 0)))
        for features in (6, 16):
            x = activate(self.activation, convolve_and_pool(self.pooling, x, features, 5, self.dtype))
        x = x.reshape(x.shape[0], -1)
        for width in (120, 84):
            x = activate(self.activation, nn.Dense(width, dtype=self.dtype, param_dtype=self.dtype)(x))
        return nn.Dense(self.classes, dtype=self.dtype, param_dtype=self.dtype)(x)
