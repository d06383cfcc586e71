"""Lower bounds on epsilon with confidence, from the guesses of an attacker about one training run."""

import math
from collections.abc import Callable

import numpy as np

from certunl.audits.audit import check_chances
from certunl.certificates.gaussian import read_epsilon
from certunl.errors import BadInput

__all__ = ["one_run_lower_bound"]


def one_run_lower_bound(
    correct: int,
    guesses: int,
    delta: float,
    *,
    confidence: float = 0.99,
    group: bool = True,
    canaries: int | None = None,
    gaussian: bool = False,
) -> float:
    """An epsilon such that with probability at least `confidence` no smaller one is true at `delta`, from one run.

    It is 0 if nothing is refuted. With `group`, the release P_S is (epsilon, delta)-close to one law Q for every set S
    of canaries, as a certificate claims for forgetting all of S. Let E_S be the outputs whose guesses fit S in at least
    v places. It is an event, so P_S(E_S) <= e^epsilon Q(E_S) + delta. Average over S. A sample of Q is independent of
    the coins, so each guess is right with probability 1/2: P(correct >= v) <= e^epsilon P(Binomial(r, 1/2) >= v) +
    delta. The right side decreases in v, so every epsilon for which it is at most 1 − confidence is refuted. These are
    all epsilons below ln((1 − confidence − delta)/P(Binomial(r, 1/2) >= v)).

    Without `group`, each canary alone changes the law by (epsilon, delta), as in differential privacy. Then
    P(correct >= v) <= P(W >= v) + 2 m delta max_i P(v > W >= v − i)/i, W ~ Binomial(r, e^epsilon/(1 + e^epsilon)).

    With `gaussian`, each canary alone is as hard to tell as two Gaussians of a ratio mu. Let p_i = P(correct = i). Fix
    all coins but that of canary j. The event that exactly i − 1 of the other guesses are right, and that the guess of j
    is "in", has a larger probability if j is in, by at most the Gaussian trade-off; so has "out" if j is out. Its
    concavity allows averages over coins, over j and over i >= v: for each v

        sum_{i >= v} (i/m) p_i <= Phi(Phi⁻¹(sum_{i >= v} ((r − i + 1)/m) p_{i−1}) + mu).

    So a large chance of v right guesses needs chances of v − 1, of v − 2 and so on. The mu for which the least of them
    add up to more than 1 are refuted. epsilon is that of the largest such mu at `delta`.

    Args:
        correct, guesses: v and r, the numbers of correct and of all guesses. The choice of the guessed coins may depend
            on the release, r may not.
        delta, confidence: as above.
        group: the claim is about the whole set of canaries, not about each canary alone.
        canaries: m, the number of canaries, each of them put in by a fair coin of its own. Default: r.
        gaussian: the trade-off of each canary is Gaussian, and epsilon follows from its ratio. This is sharper, and
            wrong if the mechanism is not Gaussian. It is for `group=False`.

    Source: Steinke, Nasr and Jagielski 2023, theorem 5.2 and appendix D (without `group`); Mahloujifar, Melis and
        Chaudhuri 2025 (`gaussian`).
    Raises: BadInput for numbers that do not fit, and for `gaussian` with `group`.

    >>> round(one_run_lower_bound(20, 20, 0.0), 4)  # ln(0.01) + 20 ln 2
    9.2578
    """
    m = guesses if canaries is None else canaries
    if not 0 <= correct <= guesses <= m or guesses < 1:
        raise BadInput(f"0 <= correct <= guesses <= canaries and a guess are needed, got {correct}, {guesses} and {m}")
    check_chances(delta, confidence, least=0.0)
    error = 1 - confidence
    if gaussian:
        if group:
            raise BadInput("the Gaussian form is about each canary alone: set group=False, or leave gaussian out")
        check_chances(delta, confidence, least=math.ulp(0))
        ratio = _largest(lambda ratio: not _possible(correct, guesses, m, ratio, error))
        return read_epsilon(1 / ratio, delta) if ratio else 0.0
    if group:
        tail = float(np.logaddexp.reduce(_binomial(guesses, 0.0)[correct:]))
        return max(0.0, math.log(error - delta) - tail) if delta < error else 0.0
    return _largest(lambda epsilon: _chance(correct, guesses, m, epsilon, delta) <= error)


def _largest(refuted: Callable[[float], bool]) -> float:
    """The largest number that is refuted, where all smaller ones are; 0 if there is none."""
    low, high = 0.0, 1.0
    while high < 1e4 and refuted(high):
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def _binomial(r: int, epsilon: float) -> np.ndarray:
    """ln P(Binomial(r, e^epsilon/(1 + e^epsilon)) = k), f64[r + 1]."""
    factorial, k = np.append(0.0, np.cumsum(np.log(np.arange(1, r + 1)))), np.arange(r + 1)
    return factorial[r] - factorial - factorial[::-1] - (r - k) * epsilon - r * np.log1p(np.exp(-epsilon))


def _chance(v: int, r: int, m: int, epsilon: float, delta: float) -> float:
    """The largest possible P(correct >= v) if each canary alone is (epsilon, delta)-private."""
    chances = np.exp(_binomial(r, epsilon))
    below = np.cumsum(chances[:v][::-1]) / np.arange(1, v + 1)
    return float(chances[v:].sum() + 2 * m * delta * below.max(initial=0.0))


def _possible(v: int, r: int, m: int, ratio: float, chance: float) -> bool:
    """Whether P(correct >= v) may be `chance` if each canary alone is as hard to tell as Gaussians of `ratio`.

    The mass lies at v, which asks for the least. `right` and `wrong` are sums of i p_i and (r − i) p_i. From v down,
    p_{i−1} is the least for which the inequality of `one_run_lower_bound` holds.
    """
    from scipy.special import ndtr, ndtri  # takes a second to import

    right, wrong = v * chance, (r - v) * chance
    for i in range(v, 0, -1):
        least = m * float(ndtr(ndtri(right / m) - ratio))
        if least > wrong:
            right += (i - 1) / (r - i + 1) * (least - wrong)
            wrong = least
        if right + wrong > r:
            return False
    return True
