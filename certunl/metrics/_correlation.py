"""The correlation of two series of numbers."""

import numpy as np

__all__ = ["correlations"]


def correlations(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """(Pearson's, Spearman's) correlation, NaN for fewer than three numbers or if one series does not vary."""
    from scipy.stats import pearsonr, spearmanr  # takes a second to import

    if len(a) < 3 or not (np.ptp(a) > 0 and np.ptp(b) > 0):
        return float("nan"), float("nan")
    return float(np.asarray(pearsonr(a, b))[0]), float(np.asarray(spearmanr(a, b))[0])
