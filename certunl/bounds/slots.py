"""The price of examples in training with noise, by the slots that they take in its batches."""

import numpy as np

from certunl.errors import nonnegative, positive

__all__ = ["slot_ratio", "sum_rounding"]


def slot_ratio(slots: np.ndarray, parts: np.ndarray, *, noise: float, rounding: float = 0.0) -> float:
    """√(sum_t (k_t + m_t r)²)/z: the ratio distance/sigma of two Gaussians for a training with noise.

    Step t adds noise of standard deviation z C to a sum of gradients of norm at most C. Without the forgotten the sum
    differs by k_t terms. Then it differs by at most k_t C, and by rounding in m_t microbatches. Each step is a Gaussian
    mechanism of the states before it, and the ratios of adaptively composed ones add in squares. So the whole training
    is as hard to tell from one without the forgotten as two Gaussians of this ratio, or harder.

    Args:
        slots: k_t, the slots that the forgotten take in each step.
        parts: m_t, the microbatches in which they take them.
        noise: z, in units of C.
        rounding: r, the distance that rounding adds to a microbatch's sum, in units of C.

    Source: Dong, Roth and Su 2022, theorem 3.2 and corollary 3.3, for neighbours that differ in known slots.

    >>> slot_ratio(np.array([1, 1, 0, 1]), np.array([1, 1, 0, 1]), noise=2.0)  # √3/2
    0.8660254037844386
    """
    positive(noise=noise)
    nonnegative(rounding=rounding)
    return float(np.sqrt(np.sum((np.asarray(slots, float) + rounding * np.asarray(parts, float)) ** 2)) / noise)


def sum_rounding(microbatch: int, dimension: int, cells: float) -> float:
    """2 m (m + 3) 2^-24 + `cells` √d: the distance that rounding adds to the sum of a microbatch, in units of C.

    A term is a gradient, or the product of two vectors, times a share. So it has up to three more roundings than the
    sum. A sum of m terms of norm at most C in float32, in any order, is off by at most m (m + 3) 2^-24 C, to first
    order in 2^-24. Both sums are off, and both are rounded to the grid, which moves them apart by at most g √d.

    Args:
        microbatch: m, the examples that are summed in float32.
        dimension: d, the number of parameters.
        cells: g/C, the grid in units of C.

    Source: Higham 2002, section 4.2.
    """
    return 2 * microbatch * (microbatch + 3) * 2.0**-24 + cells * dimension**0.5
