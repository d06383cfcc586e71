"""The effect of floating point on parameters."""

import math

import jax
import jax.numpy as jnp

from certunl.base import Params, width
from certunl.errors import BadInput

__all__ = ["clip_rounding", "coarsest", "grid_distance", "longest_noise"]


def coarsest(params: Params) -> float:
    """The largest eps among the dtypes of `params`."""
    return max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(params))


def clip_rounding(params: Params) -> float:
    """The error of shortening a vector v like `params` to norm C by v min(1, C/‖v‖), divided by C.

    A sum of d squares in any order is within d eps/2 of its exact value, and the root halves that. 10 eps are for the
    root, the quotient and the products. If this error makes v seem short enough, v is too long by no more than this
    error.
    Raises: BadInput if the error is half of C or more.
    """
    d = width(params)
    lost = (d / 4 + 10) * coarsest(params)
    if lost >= 0.5:
        raise BadInput(f"clipping {d} parameters needs more precision; train in float64 (jax_enable_x64)")
    return lost


def longest_noise(params: Params, noise: float, spacing: float) -> float:
    """noise (√d + 40) + g √d/2, an upper bound on the norm of one step's noise, rounded to the grid of g = `spacing`.

    The noise is longer with probability at most e^−800, below the least positive number of float64. So no delta that
    is computed in float64 changes, not even after multiplication with e^epsilon for epsilon up to 50.
    Source: the norm of d normals is 1-Lipschitz, so it exceeds √d + t with probability at most e^(−t²/2).
    """
    return noise * (math.sqrt(width(params)) + 40) + grid_distance(params, spacing) / 2


def grid_distance(params: Params, spacing: float) -> float:
    """g √d for g = `spacing`, an upper bound on the distance that rounding two vectors to the grid adds to them."""
    return spacing * math.sqrt(width(params))
