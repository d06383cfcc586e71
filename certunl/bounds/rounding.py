"""What floating point does to parameters."""

import math

import jax
import jax.numpy as jnp

from certunl.base import Params, width
from certunl.errors import BadInput

__all__ = ["clip_rounding", "coarsest", "longest_noise"]


def coarsest(params: Params) -> float:
    """The largest eps among the dtypes of `params`."""
    return max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(params))


def clip_rounding(params: Params) -> float:
    """How far a vector v like `params`, shortened to norm C by v min(1, C/‖v‖), can be off, over C.

    d squares summed in any order are within d eps/2 of their sum, which the root halves; 10 eps are for the root, the
    quotient and the products. Where v is taken for short enough by that error, it is no more than that too long.
    Raises: BadInput where that is half of C.
    """
    d = width(params)
    lost = (d / 4 + 10) * coarsest(params)
    if lost >= 0.5:
        raise BadInput(f"{d} parameters are too many to clip in this precision; train in float64 (jax_enable_x64)")
    return lost


def longest_noise(params: Params, noise: float) -> float:
    """10 noise √d: no noise of a step is longer, since floating-point normals end before 10."""
    return 10 * noise * math.sqrt(width(params))
