"""Statistics of the low bits of a release: they find floating-point noise, which tells its centre."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr

from certunl.base import Params
from certunl.certificates.noise import grid

__all__ = ["fractions", "off_grid", "preimages", "reachable"]

_NEAR = 400
_COORDINATES = 64
"""At most so many numbers of a release are looked at. More would only cost time."""


def reachable(released: Params, centre: Params, sigma: float) -> np.ndarray:
    """i64[m], in how many ways the noise of `jax.random.normal` leads from the centre to each released number.

    A float32 normal has one of 2^23 values, and a float64 normal one of 2^52. Those near the released number are tried.
    With noise of that generator, the count is at least 1 at the right centre and often 0 at another.

    Args:
        released: the parameters with noise.
        centre: the parameters before it, in the same dtypes.
        sigma: the standard deviation of the noise.

    Returns: counts for at most 64 numbers of the release, of 32 or 64 bits.
    """
    counts = [
        _ways(a, b, sigma, _nearest(a, b, sigma))
        for a, b in zip(_some(released), _some(centre), strict=True)
        if a.dtype.itemsize >= 4
    ]
    return np.concatenate([*counts, np.zeros(0, int)])


def _some(params: Params) -> list[np.ndarray]:
    """Evenly spaced numbers of each leaf, about 64 together."""
    leaves = [np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(params)]
    stride = max(1, -(-sum(leaf.size for leaf in leaves) // _COORDINATES))
    return [leaf[::stride] for leaf in leaves]


def _nearest(released: np.ndarray, centre: np.ndarray, sigma: float) -> np.ndarray:
    """i64[m], the uniform integers whose normals lead about to the released numbers."""
    bits = _bits(released.dtype)
    return np.round(ndtr((released.astype(float) - centre.astype(float)) / sigma) * 2.0**bits).astype(np.int64)


def _bits(dtype: np.dtype) -> int:
    """The number of random bits in a uniform number of JAX."""
    return 23 if dtype.itemsize == 4 else 52


def _ways(released: np.ndarray, centre: np.ndarray, sigma: float, near: np.ndarray) -> np.ndarray:
    # NumPy multiplies and adds in two roundings, as two operations of JAX do and one fused program would not
    reached = centre[:, None] + released.dtype.type(sigma) * np.asarray(_normals(near, released.dtype))
    return (reached == released[:, None]).sum(1)


@partial(jax.jit, static_argnames="dtype")
def _normals(near: jax.Array, dtype: np.dtype) -> jax.Array:
    """The normals that `jax.random.normal` makes of the integers near `near`."""
    bits, low = _bits(dtype), jnp.nextafter(jnp.asarray(-1, dtype), jnp.asarray(0, dtype))
    tried = jnp.clip(near[:, None] + jnp.arange(-_NEAR, _NEAR + 1), 0, 2**bits - 1).astype(dtype)
    uniform = jnp.maximum(low, tried * 2.0**-bits * (1 - low) + low)
    return jnp.asarray(math.sqrt(2), dtype) * jax.lax.erf_inv(uniform)


def preimages(centre: Params, other: Params, sigma: float) -> Callable[[Params], float]:
    """The statistic sum log((ways from centre + 1/1000)/(ways from other + 1/1000)), of a release (`reachable`)."""

    def score(released: Params) -> float:
        ways = (reachable(released, of, sigma) + 1e-3 for of in (centre, other))
        return float(np.subtract(*map(np.log, ways)).sum())

    return score


def fractions(released: Params, sigma: float) -> np.ndarray:
    """f64[m], the low bits of a release without any centre: r/s − ⌊r/s⌋ for s = g 2^j, j = −12, ..., 12.

    g = `certificates.noise.grid(sigma)`. Two more numbers are the shares of −0 and of integers r/g. They depend on the
    centre if noise on a grid is added to a centre off it, or if the sign of zero is kept.
    """
    numbers = np.concatenate([a.astype(float) for a in _some(released)])
    over = numbers[:, None] / (grid(sigma) * 2.0 ** np.arange(-12.0, 13.0))
    shares = [np.mean(np.signbit(numbers) & (numbers == 0)), np.mean(over[:, 12] == np.rint(over[:, 12]))]
    return np.concatenate([np.ravel(over - np.floor(over)), shares])


def off_grid(released: Params, sigma: float) -> int:
    """The number of parameters that are no multiple of `certificates.noise.grid(sigma)`.

    It is 0 where `certify` added the noise, in every dtype: a number that the dtype rounds is a multiple of a larger
    power of two. Almost all numbers with floating-point noise are counted.
    """
    spacing = grid(sigma)
    cells = [np.asarray(leaf).astype(np.float64) / spacing for leaf in jax.tree.leaves(released)]
    return sum(int(np.sum(one != np.rint(one))) for one in cells)
