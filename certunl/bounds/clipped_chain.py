"""Two chains of noisy steps that clip the whole model: how hard their ends are to tell apart, from any two starts."""

import math
from typing import Any

import numpy as np
from scipy.special import erfcx

from certunl.errors import BadInput

__all__ = ["clipped_chain"]


def clipped_chain(epsilon: Any, *, ratio: float, steps: int) -> Any:
    """delta f[...] for each `epsilon` f[...], at which the ends of two chains are (epsilon, delta)-indistinguishable.

    It holds in either order. The chains take K = `steps` steps with fresh independent noise, from any two starts:

        X_t = m_t(X_{t−1}) + N(0, s² I)    X'_t = m_t(X'_{t−1}) + N(0, s² I)    ‖m_t(x) − m_t(y)‖ <= 2 C for all x, y

    Let r = 2 C/s be the `ratio`, and let delta(epsilon; r) belong to two Gaussians of ratio r
    (`gaussian.noise_ratio`). Then delta = delta_K, where

        delta_0 = 1      delta_t = delta_{t−1} delta(epsilon_t; r)      epsilon_t = ln(1 + (e^epsilon − 1)/delta_{t−1})

    One step is the Gaussian mechanism. m_t may be any function with values in a ball of radius C. If the noise is
    large compared with the ball, every step forgets most of its start. The result is no Gaussian trade-off, so the
    function is called with the epsilon that is wanted. Releases compose by adding epsilons and deltas. If m_t uses
    shared random mini-batches that do not depend on the forgotten examples, the statement holds conditionally on
    them, and so for their mixture (delta is jointly convex).

    Proof: let P and Q be the laws of X_{t−1} and X'_{t−1}, κ the kernel of step t, H_e(P, Q) = sup_A P(A) − e^e Q(A),
    and a = H_epsilon(P, Q). By induction a <= delta_{t−1}. P − e^epsilon Q is a positive part of mass a minus a
    negative part of mass b = a + e^epsilon − 1. Let F and G be these parts scaled to mass 1. The supremum over A of
    (Pκ − e^epsilon Qκ)(A) = a Fκ(A) − b Gκ(A) is a H_e(Fκ, Gκ) with e = ln(b/a), and 0 if a = 0. H_e is jointly
    convex, so this is at most a sup_{x,y} H_e(κ(x), κ(y)). These are two Gaussians whose means are at most 2 C apart,
    which gives a delta(ln(b/a); r) = sup_A a (g(A) − g'(A)) − (e^epsilon − 1) g'(A) for two Gaussians g and g'. The
    supremum is reached at an A with g(A) >= g'(A), so it grows with a. At a = delta_{t−1} it is delta_t. P and Q may
    be exchanged.
    Source: model clipping of Koloskova et al. 2025.
    Differs: hockey-stick divergences replace contraction coefficients. The result is computed with logarithms,
    rounded up and never below 1e-300.

    >>> [float(f"{clipped_chain(1.0, ratio=2 / s, steps=K):.2g}") for s, K in ((7.4613, 1), (1.0559, 5), (0.59170, 20))]
    [1e-05, 1e-05, 1e-05]
    """
    eps = np.asarray(epsilon, np.float64)
    if not (np.isfinite(eps).all() and (eps >= 0).all()):
        raise BadInput(f"every epsilon must be a finite number of at least 0, got {epsilon!r}")
    if not 0 < ratio < 1e100 or steps < 1:
        raise BadInput(f"a clipped chain needs 2 C/s above 0 (to 1e100) and at least one step, got {ratio} and {steps}")
    with np.errstate(divide="ignore"):
        grown = eps + np.log(-np.expm1(-eps))  # ln(e^epsilon − 1)
    log_delta = np.zeros_like(eps)
    for _ in range(steps):
        more = _log_delta(np.logaddexp(0.0, grown - log_delta), ratio)
        log_delta = np.maximum(log_delta + more, _LEAST)
        if (log_delta == _LEAST).all():
            break
    delta = np.exp(log_delta)
    return delta if delta.ndim else float(delta)


_LEAST = math.log(1e-300)


def _log_delta(eps: np.ndarray, r: float) -> np.ndarray:
    """ln delta(epsilon; r), rounded up.

    With x = epsilon/r − r/2 and Mills' ratio M(x) = Φ(−x)/φ(x) it is ln φ(x) + ln(M(x) − M(x + r)), because e^epsilon
    φ(x + r) = φ(x). If M overflows, delta is 1 up to 1e-300.
    """
    x = eps / r - r / 2
    with np.errstate(over="ignore"):
        here, there = (math.sqrt(math.pi / 2) * erfcx(z / math.sqrt(2)) for z in (x, x + r))
        density = -(x**2) / 2 * (1 - 1e-15) - math.log(2 * math.pi) / 2
    return np.minimum(density + np.log(here - there + 1e-15 * here), 0.0)
