"""Lower bounds on epsilon with confidence, from samples of two mechanisms or from one release."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from certunl.certificates.gaussian import read_epsilon
from certunl.certificates.printing import EXPLAINED
from certunl.errors import BadInput

__all__ = ["Audit", "check_chances", "epsilon_lower_bound", "gaussian_release_lower_bound", "noise_upper_bound"]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The result of a test of one certificate.

    Args:
        lower: with probability at least `confidence`, no epsilon below `lower` is true at `delta`.
        epsilon: the claim of the certificate at `delta`, inf if it claims nothing.
        delta, confidence: as above.
        how: the samples of the test, in words.
        correct, guesses: number of correct guesses and of all guesses, if coins were guessed.
        broken: other statements of the certificate that are refuted, in words.
    """

    lower: float
    epsilon: float
    delta: float
    confidence: float
    how: str
    correct: int = 0
    guesses: int = 0
    broken: str = ""

    @property
    def refuted(self) -> bool:
        """Whether the certificate is shown to be false, with probability of error at most 1 − `confidence`."""
        return self.lower > self.epsilon or bool(self.broken)

    def __str__(self) -> str:
        word = f"REFUTED: {EXPLAINED['REFUTED']}" if self.refuted else "not refuted"
        claim = "nothing is claimed" if math.isinf(self.epsilon) else f"{self.epsilon:.4g} is claimed"
        lower = f"epsilon is at least {self.lower:.4g} at delta {self.delta:.3g} with confidence {self.confidence:g}"
        broken = f"; {self.broken}" if self.broken else ""
        return f"{word}; {lower}, where {claim} ({self.how}){broken}"


def epsilon_lower_bound(
    released: Any, reference: Any, delta: float, *, confidence: float = 0.99, gaussian: bool = False
) -> float:
    """An epsilon such that with probability at least `confidence` no smaller one is true at `delta`.

    It is 0 if nothing is refuted. Let p and q be the shares of the release and of the reference beyond a threshold.
    (epsilon, delta) implies p <= e^epsilon q + delta, so epsilon >= ln((p − delta)/q). The first half of each sample
    chooses threshold, side and order of the samples. The second half bounds p and q (Clopper and Pearson).

    Args:
        released, reference: independent samples f[k] and f[m] of one statistic of the release and of its reference.
        delta, confidence: as above.
        gaussian: the trade-off is Gaussian, so r >= Phi⁻¹(p) − Phi⁻¹(q) and epsilon follows from r exactly. This is far
            sharper at a small delta, and wrong if the mechanism is not Gaussian.

    Source: Jagielski, Ullman and Oprea 2020 (Clopper-Pearson); Nasr et al. 2023 (Gaussian).
    Raises: BadInput for fewer than four samples of either, or numbers that are not finite.
    """
    samples = [np.asarray(a, np.float64).ravel() for a in (released, reference)]
    if min(map(len, samples)) < 4 or not all(np.isfinite(a).all() for a in samples):
        raise BadInput("an audit needs at least four finite samples of the release and of the reference")
    check_chances(delta, confidence, least=math.ulp(0))
    choice, test = [a[: len(a) // 2] for a in samples], [a[len(a) // 2 :] for a in samples]
    thresholds = np.quantile(np.concatenate(choice), np.linspace(0, 1, 201))
    sided = (_beyond(choice, thresholds), _beyond(choice[::-1], thresholds))
    error = (1 - confidence) / 2  # half for p, half for q
    guesses = [_refuted(*counts, delta, error, gaussian) for counts in sided]
    first, side, best = np.unravel_index(np.argmax(guesses), np.shape(guesses))
    counts = _beyond(test if first == 0 else test[::-1], thresholds[[best]])
    lower = float(_refuted(*counts, delta, error, gaussian)[side, 0])
    return read_epsilon(1 / lower, delta) if gaussian and lower else lower


def gaussian_release_lower_bound(noise: Any, distance: float, delta: float, *, confidence: float = 0.99) -> float:
    """An epsilon such that with probability at least `confidence` no smaller one is true at `delta`, from one release.

    `noise f[d]` is a sample of N(0, sigma² I) that is added to the parameters. `distance` is that of the un-noised
    parameters to those of the reference, which has noise of the same law. With that confidence, sigma is at most
    `noise_upper_bound`. epsilon is exact for that sigma and decreases in sigma; it is inf for a distance without noise.
    """
    check_chances(delta, confidence, least=math.ulp(0))
    noise = np.asarray(noise, np.float64).ravel()
    if not (noise.size and np.isfinite(noise).all() and 0 <= distance < math.inf):
        raise BadInput("an audit of one release needs finite noise and a finite distance of at least 0")
    if not distance:
        return 0.0
    sigma = noise_upper_bound(noise, confidence=confidence)
    return read_epsilon(max(sigma / distance, _LEAST), delta) if sigma else math.inf


def noise_upper_bound(noise: Any, *, confidence: float = 0.99) -> float:
    """An upper bound on the sigma of `noise f[d]` ~ N(0, sigma² I), true with probability `confidence`: ‖noise‖/√q, q
    the (1 − confidence)-quantile of chi-squared with d degrees of freedom, the law of ‖noise‖²/sigma²."""
    from scipy.stats import chi2  # takes a second to import

    noise = np.asarray(noise, np.float64).ravel()
    return float(np.linalg.norm(noise)) / math.sqrt(chi2.ppf(1 - confidence, noise.size))


_LEAST = 1e-100
"""The smallest sigma/distance for which epsilon is computed; a smaller one would overflow, and has a larger epsilon."""


def check_chances(delta: float, confidence: float, *, least: float) -> None:
    if not (least <= delta < 1 and 0 < confidence < 1):
        raise BadInput(f"delta and confidence must lie strictly between 0 and 1, got {delta!r} and {confidence!r}")


_Counts = tuple[np.ndarray, int]
"""(the numbers above and not above each threshold, i64[2, thresholds]; the size of the sample)."""


def _beyond(samples: list[np.ndarray], thresholds: np.ndarray) -> tuple[_Counts, _Counts]:
    above = [len(a) - np.searchsorted(np.sort(a), thresholds, side="right") for a in samples]
    first, other = ((np.stack([n, len(a) - n]), len(a)) for n, a in zip(above, samples, strict=True))
    return first, other


def _refuted(first: _Counts, other: _Counts, delta: float, error: float, gaussian: bool) -> np.ndarray:
    """The epsilons, or ratios r for `gaussian`, below which these counts refute; each errs with chance 2 `error`."""
    from scipy.stats import beta, norm  # takes a second to import

    (hits, size), (false, others) = first, other
    p = np.where(hits > 0, beta.ppf(error, np.maximum(hits, 1), size - hits + 1), 0.0)
    q = np.where(false < others, beta.isf(error, false + 1, np.maximum(others - false, 1)), 1.0)
    return np.maximum(norm.ppf(p) - norm.ppf(q), 0.0) if gaussian else np.log(np.maximum(p - delta, q) / q)
