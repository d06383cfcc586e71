"""Noise with the law of the theorem: Gaussians rounded to a grid, sampled exactly from the bytes of a secret."""

import math
from collections.abc import Callable
from functools import partial

import jax
import mpmath
import numpy as np
from scipy.special import ndtri

from certunl.base import Params
from certunl.certificates.secret import expanded
from certunl.errors import BadInput, nonnegative

__all__ = ["BITS", "STEP_BITS", "cells", "grid", "integers", "noised", "step_grid"]

BITS = 16
"""The grid of a release is 2^-BITS sigma or finer. No theorem depends on it."""

STEP_BITS = 20
"""The same for noise inside a method's steps, where each rounding of the state counts as g √d of distance."""

_BLOCK = 1 << 16
_BYTES = 17
_ERROR = 1e-13
"""Bound on the error of a float64 normal of probability at least 2^-45. Measured on p in [2^-130, 1/2]: 2.7e-15."""
_FEW = 1 << 20
"""Below this, the first 64 bits of a probability are too few for `_ERROR`: it may then be less than 2^-45."""


def grid(sigma: float, bits: int = BITS) -> float:
    """2^⌊log2(sigma) − bits⌋: the power of two that noise of standard deviation `sigma` is rounded to."""
    return 2.0 ** (math.frexp(sigma)[1] - 1 - bits)


def cells() -> float:
    """The largest number of cells that a step's centre may lie from 0: JAX's integers have 32 or 64 bits."""
    return 2.0**51 if jax.config.read("jax_enable_x64") else 2.0**30


def step_grid(noise: float, reach: float) -> float:
    """The grid of the noise in a method's steps: `grid(noise, STEP_BITS)`, or coarser if `reach` would leave the box.

    A coarser grid costs distance, and nothing else. `reach` is the size of parameters that the steps may meet.
    """
    return max(grid(noise, STEP_BITS), 2.0 ** math.ceil(math.log2(max(reach, 1e-300) / cells())))


def integers(seed: bytes, rest: np.ndarray, ratio: float, *, error: float = _ERROR) -> np.ndarray:
    """f64[n], the integers nearest to rest + ratio · Z for standard normals Z.

    Z is the quantile of a uniform number in (0, 1/2), and a sign. The bits of that number come from SHAKE-256. 128 of
    them are drawn at once. Where they or float64 leave open which integer is nearest, Z is computed again by interval
    from more bits to more digits, until one integer is left. So the integers have exactly the law of rounded Gaussians
    if the bits are independent and fair.

    Args:
        seed: bytes that the noise is expanded from; as secret as the noise.
        rest: f64[n] in [−1/2, 1/2], the centre's distance from its integer.
        ratio: sigma/g, the standard deviation in cells of the grid.
        error: bound on the error of a float64 normal. A larger one only costs time.

    Source: rounding the ideal mechanism is post-processing, so its exact (epsilon, delta) holds (Canonne, Kamath,
    Steinke 2020 for the alternative, a discrete Gaussian).
    """
    ratio, out = float(ratio), np.empty(len(rest))
    if not math.isfinite(ratio):
        raise BadInput(f"noise needs a finite ratio to its grid, got {ratio}")
    for start in range(0, len(rest), _BLOCK):
        block = rest[start : start + _BLOCK]
        index = (start // _BLOCK).to_bytes(8, "little")
        stream = expanded(seed, b"normals" + index, _BYTES * len(block))
        table = np.frombuffer(stream, np.uint8).reshape(len(block), _BYTES)
        words = np.ascontiguousarray(table[:, :16]).view("<u8")
        half = words[:, 1].astype(np.float64) * 2.0**-65 + words[:, 0].astype(np.float64) * 2.0**-129 + 2.0**-130
        negative = (table[:, 16] & 1).astype(bool)
        t = block + ratio * np.where(negative, ndtri(half), -ndtri(half))
        nearest = np.rint(t)
        # t errs by ratio · error and by its own rounding; only near a half-integer can that change the nearest one
        margin = ratio * error + np.abs(t) * 2.0**-52
        open_ = (np.abs(np.abs(t - nearest) - 0.5) <= margin) | (words[:, 1] < _FEW)
        for i in np.flatnonzero(open_):
            more = b"more of" + index + int(i).to_bytes(8, "little")
            nearest[i] = _refined(table[i], float(block[i]), ratio, partial(expanded, seed, more))
        out[start : start + _BLOCK] = nearest
    return out


def _refined(row: np.ndarray, rest: float, ratio: float, more: Callable[[int], bytes]) -> float:
    """The integer nearest to rest + ratio · Z, by intervals. `more(count)` gives further bytes of the probability."""
    first, sign = int.from_bytes(row[:16].tobytes(), "little"), -1 if row[16] & 1 else 1
    extra = 0
    while True:
        bits = 128 + 8 * extra
        with mpmath.workdps(100 + bits):
            p = (first << (8 * extra)) + int.from_bytes(more(extra), "big")
            ends = [
                mpmath.mpf(rest) + sign * mpmath.mpf(ratio) * mpmath.sqrt(2) * mpmath.erfinv(1 - mpmath.ldexp(q, -bits))
                for q in (p, p + 1)
                if q
            ]
            slack = mpmath.mpf(10) ** -50  # far above the error of a result to more than 200 digits
            nearest = {mpmath.nint(end + shift) for end in ends for shift in (-slack, slack)}
            if len(ends) == 2 and len(nearest) == 1:
                return float(nearest.pop())
        extra += 16


def noised(params: Params, sigma: float, seed: bytes) -> Params:
    """round_g(params + sigma Z) with g = `grid(sigma)`, each leaf in its own dtype.

    The grid is fixed by `sigma` alone, so the release is post-processing of the ideal Gaussian mechanism, and so is the
    cast to the dtype.

    Raises: BadInput for parameters that are not real, or so large that float64 cannot hold them in cells of the grid.
    """
    nonnegative(sigma=sigma)
    sigma = float(sigma)
    leaves, tree = jax.tree.flatten(params)
    for leaf in leaves:
        if not jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating):
            raise BadInput(f"parameters must be real numbers to carry noise, got {leaf.dtype}")
    if not sigma:
        return params
    spacing = grid(sigma)
    centre = np.concatenate([np.ravel(np.asarray(leaf)).astype(np.float64) for leaf in leaves])
    with np.errstate(over="ignore", under="ignore"):
        places = centre / spacing  # exact: the spacing is a power of two
    if not (spacing > 0 and math.isfinite(spacing) and np.isfinite(places).all()):
        raise BadInput(f"sigma {sigma:g} is too small or too large beside parameters of size {np.abs(centre).max():g}")
    whole = np.rint(places)
    # + 0.0 makes −0 to 0, whose sign would tell the centre's
    release = (whole + integers(seed, places - whole, sigma / spacing) + 0.0) * spacing
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    parts = zip(np.split(release, ends), leaves, strict=True)
    return jax.tree.unflatten(
        tree, [jax.numpy.asarray(part.reshape(leaf.shape).astype(leaf.dtype)) for part, leaf in parts]
    )
