"""The indistinguishability of two Gaussians whose means differ. All arithmetic is float64 on the host."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from certunl.errors import BadInput

__all__ = ["classical_ratio", "noise_ratio", "read_epsilon", "zcdp_epsilon"]


def noise_ratio(epsilon: float, delta: float) -> float:
    """The ratio sigma/distance at which two Gaussians are exactly (epsilon, delta)-indistinguishable.

    Both have standard deviation sigma, and their means have that distance. The ratio solves
    delta = Phi(r/2 − epsilon/r) − e^epsilon Phi(−r/2 − epsilon/r) for r = distance/sigma.
    Source: Balle and Wang 2018, theorem 8; computed by dp-accounting.

    >>> round(noise_ratio(1.0, 1e-5), 6)
    3.730632
    """
    import dp_accounting  # takes half a second to import

    with _or_refused(f"epsilon = {epsilon:g} at delta = {delta:g} is out of floating-point range; change either"):
        return float(dp_accounting.get_sigma_gaussian(epsilon, delta))


def classical_ratio(epsilon: float, delta: float) -> float:
    """√(2 ln(1.25/delta))/epsilon, the older ratio sigma/distance. Use it only for reproduction.

    It is proved for epsilon < 1, where it is larger than needed (by 30% at epsilon 1 and delta 1e-5, by more at smaller
    epsilon). It is too small and so unsafe from an epsilon of about 7 to 9 on, depending on delta.
    Source: Dwork and Roth 2014, theorem A.1; the noise of Zhang et al. 2024, theorem 2.3.

    >>> [round(classical_ratio(e, 1e-5), 3) for e in (0.1, 1.0, 10.0)]
    [48.448, 4.845, 0.484]
    """
    return math.sqrt(2 * math.log(1.25 / delta)) / epsilon


def read_epsilon(ratio: float, delta: float) -> float:
    """The exact epsilon of two Gaussians at `delta` for sigma/distance = `ratio`.

    Source: Balle and Wang 2018, theorem 8; computed by dp-accounting.
    """
    import dp_accounting  # takes half a second to import

    with _or_refused(f"noise with sigma = {ratio:g} times the distance gives no finite epsilon; raise sigma"):
        return float(dp_accounting.get_epsilon_gaussian(ratio, delta))


def zcdp_epsilon(ratio: float, delta: float) -> float:
    """rho + 2 √(rho ln(1/delta)) with rho = ratio²/2 and `ratio` = distance/sigma: an epsilon at `delta`.

    It is never below the exact epsilon.
    Source: Bun and Steinke 2016, propositions 1.3 and 1.6.
    """
    rho = ratio**2 / 2
    return rho + 2 * math.sqrt(rho * math.log(1 / delta))


@contextmanager
def _or_refused(sentence: str) -> Iterator[None]:
    """Raises: BadInput with `sentence` if dp-accounting finds no number."""
    try:
        with np.errstate(all="ignore"):
            yield
    except (ValueError, RuntimeError, OverflowError) as error:
        raise BadInput(sentence) from error
