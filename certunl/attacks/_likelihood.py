"""The likelihood ratio of two normal laws that are fitted to shadow models, for each example."""

import numpy as np
from jax import Array

from certunl.errors import BadInput
from certunl.membership.target import Shadows

__all__ = ["ratios"]

_ENOUGH = 64
"""With fewer shadow models, the variance of a single example is noisier than one common variance."""


def ratios(margins: Array, shadows: Shadows | None, offline: bool, own_variance: bool | None) -> np.ndarray:
    """f[m]: ln N(margin; mean_in, std_in) − ln N(margin; mean_out, std_out).

    `offline` uses only the second law, by a score in the order of the tail P(N(mean_out, std_out) < margin).
    """
    if shadows is None:
        raise BadInput("a likelihood-ratio attack needs shadow models: evaluate(..., shadows=16)")
    target, samples = np.asarray(margins, np.float64), np.asarray(shadows.margins, np.float64)
    inside = np.asarray(shadows.inside)
    if min(inside.sum(0).min(), (~inside).sum(0).min()) < 2:
        raise BadInput(
            "each candidate must be in at least two shadow models and out of at least two; train more of them"
        )
    if own_variance is None:
        own_variance = len(samples) >= _ENOUGH
    (mean_in, std_in), (mean_out, std_out) = (_fitted(samples, mask, own_variance) for mask in (inside, ~inside))
    if offline:
        return (target - mean_out) / std_out  # the tail grows with it
    return _log_density(target, mean_in, std_in) - _log_density(target, mean_out, std_out)


def _fitted(values: np.ndarray, mask: np.ndarray, own: bool) -> tuple[np.ndarray, np.ndarray]:
    """(mean f[m], standard deviation f[m]) of `values[s, m]` over the models s with `mask[s, m]`."""
    count = mask.sum(0)
    mean = np.where(mask, values, 0).sum(0) / count
    spread = np.where(mask, values - mean, 0) ** 2
    variance = spread.sum(0) / (count - 1) if own else np.full(len(mean), spread.sum() / (count - 1).sum())
    return mean, np.sqrt(variance) + 1e-12


def _log_density(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    return -0.5 * ((x - mean) / std) ** 2 - np.log(std)
