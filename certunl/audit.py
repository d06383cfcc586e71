"""What samples of two mechanisms refute: a lower bound on epsilon, with confidence."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from certunl.gaussian import read_epsilon
from certunl.typing import BadInput

__all__ = ["Audit", "epsilon_lower_bound"]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found against a certificate that claims `epsilon` at `delta`: with probability at least `confidence`, no
    epsilon below `lower` is true. `how` says in words what was sampled."""

    lower: float
    epsilon: float
    delta: float
    confidence: float
    how: str

    @property
    def refuted(self) -> bool:
        """Whether the claim is false, but for a chance of 1 − `confidence`."""
        return self.lower > self.epsilon


def epsilon_lower_bound(
    released: Any, reference: Any, delta: float, *, confidence: float = 0.99, gaussian: bool = False
) -> float:
    """An epsilon such that with probability at least `confidence` no smaller one is true at `delta`, from independent
    samples f[k] of one statistic of the release and f[m] of its reference: 0 where nothing is refuted.

    A threshold splits both; with p the release's and q the reference's share beyond it, (epsilon, delta) asks for
    p <= e^epsilon q + delta, so epsilon >= ln((p − delta)/q). Threshold and direction (above or below, either sample
    first) are chosen on the first half of each sample, p and q bounded by Clopper and Pearson on the second. `gaussian`
    takes the trade-off for a Gaussian one: r >= Phi⁻¹(p) − Phi⁻¹(q), and epsilon follows from r exactly; it is far
    sharper at a small delta, and wrong where the mechanism is not Gaussian.
    Source: Jagielski, Ullman and Oprea 2020 (Clopper-Pearson); Nasr et al. 2023 (Gaussian).
    Raises: BadInput for fewer than four samples of either, or numbers that are not finite.
    """
    samples = [np.asarray(a, np.float64).ravel() for a in (released, reference)]
    if min(map(len, samples)) < 4 or not all(np.isfinite(a).all() for a in samples):
        raise BadInput("an audit needs at least four finite samples of the release and of the reference")
    if not (0 < delta < 1 and 0 < confidence < 1):
        raise BadInput(f"delta and confidence must lie strictly between 0 and 1, got {delta!r} and {confidence!r}")
    chosen, held = [a[: len(a) // 2] for a in samples], [a[len(a) // 2 :] for a in samples]
    thresholds = np.quantile(np.concatenate(chosen), np.linspace(0, 1, 201))
    sided = (_beyond(chosen, thresholds), _beyond(chosen[::-1], thresholds))
    error = (1 - confidence) / 2  # half for p, half for q
    guesses = [_refuted(*counts, delta, error, gaussian) for counts in sided]
    first, side, best = np.unravel_index(np.argmax(guesses), np.shape(guesses))
    counts = _beyond(held if first == 0 else held[::-1], thresholds[[best]])
    found = float(_refuted(*counts, delta, error, gaussian)[side, 0])
    return read_epsilon(1 / found, delta) if gaussian and found else found


_Counts = tuple[np.ndarray, int]
"""How many of a sample are above each threshold and how many are not, i64[2, thresholds]; its size."""


def _beyond(samples: list[np.ndarray], thresholds: np.ndarray) -> tuple[_Counts, _Counts]:
    above = [len(a) - np.searchsorted(np.sort(a), thresholds, side="right") for a in samples]
    first, other = ((np.stack([n, len(a) - n]), len(a)) for n, a in zip(above, samples, strict=True))
    return first, other


def _refuted(first: _Counts, other: _Counts, delta: float, error: float, gaussian: bool) -> np.ndarray:
    """The epsilons (`gaussian`: ratios r) that these counts refute, each in error with probability 2 `error`."""
    from scipy.stats import beta, norm  # takes a second to import

    (hits, size), (false, others) = first, other
    p = np.where(hits > 0, beta.ppf(error, np.maximum(hits, 1), size - hits + 1), 0.0)
    q = np.where(false < others, beta.isf(error, false + 1, np.maximum(others - false, 1)), 1.0)
    return np.maximum(norm.ppf(p) - norm.ppf(q), 0.0) if gaussian else np.log(np.maximum(p - delta, q) / q)
