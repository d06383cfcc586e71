"""Noisy steps that clip the whole model: what K of them leave of two chains that start anywhere."""

import math
from typing import Any

import numpy as np
from scipy.special import erfcx

from certunl.errors import BadInput

__all__ = ["clipped_chain"]


def clipped_chain(epsilon: Any, *, ratio: float, steps: int) -> Any:
    """delta f[...] for each `epsilon` f[...]: the ends of the two chains are (epsilon, delta)-indistinguishable, in
    either order, after K = `steps` of

        X_t = m_t(X_{t−1}) + N(0, s² I)    X'_t = m_t(X'_{t−1}) + N(0, s² I)    ‖m_t(x) − m_t(y)‖ <= 2 C for all x, y

    from any two starts, with fresh independent noise in every step and `ratio` r = 2 C/s. With delta(epsilon; r) that
    of two Gaussians of ratio r (`gaussian.noise_ratio`),

        delta_0 = 1      delta_t = delta_{t−1} delta(epsilon_t; r)      epsilon_t = ln(1 + (e^epsilon − 1)/delta_{t−1})

    One step is the Gaussian mechanism. m_t may be any function with values in a ball of radius C; where the noise is
    wide against the ball, every step forgets most of where it started. No Gaussian trade-off: it is run at the epsilon
    that is wanted, and releases compose by adding epsilons and deltas. Where m_t takes shared random mini-batches that
    do not depend on the forgotten, it holds given them, and so for their mixture (delta is jointly convex).

    Proof: let P and Q be the laws of X_{t−1} and X'_{t−1}, κ the kernel of step t, H_e(P, Q) = sup_A P(A) − e^e Q(A),
    and a = H_epsilon(P, Q) <= delta_{t−1} by induction. P − e^epsilon Q is a positive part of mass a less a negative
    part of mass b = a + e^epsilon − 1; scaled to mass 1 they are F and G. The supremum over A of (Pκ − e^epsilon Qκ)(A)
    = a Fκ(A) − b Gκ(A) is a H_e(Fκ, Gκ) with e = ln(b/a) (and 0 where a = 0). H_e is jointly convex, so that is at most
    a sup_{x,y} H_e(κ(x), κ(y)), of two Gaussians whose means are at most 2 C apart: a delta(ln(b/a); r), which is
    sup_A a (g(A) − g'(A)) − (e^epsilon − 1) g'(A) for two Gaussians g and g'. It is reached where g(A) >= g'(A), and so
    grows with a; at a = delta_{t−1} it is delta_t. P and Q may be exchanged.
    Source: model clipping of Koloskova et al. 2025.  Differs: hockey-stick divergences in place of contraction
    coefficients. Computed with logarithms, rounded up; never below 1e-300.

    >>> [float(f"{clipped_chain(1.0, ratio=2 / s, steps=K):.2g}") for s, K in ((7.4613, 1), (1.0559, 5), (0.59170, 20))]
    [1e-05, 1e-05, 1e-05]
    """
    eps = np.asarray(epsilon, np.float64)
    if not (np.isfinite(eps).all() and (eps >= 0).all()):
        raise BadInput(f"epsilon must be numbers of at least 0, got {epsilon!r}")
    if not 0 < ratio < 1e100 or steps < 1:
        raise BadInput(f"a clipped chain needs 2 C/s above 0 (to 1e100) and a step or more, got {ratio}, {steps}")
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
    """ln delta(epsilon; r), rounded up: with x = epsilon/r − r/2 and Mills' ratio M(x) = Φ(−x)/φ(x) it is
    ln φ(x) + ln(M(x) − M(x + r)), because e^epsilon φ(x + r) = φ(x). Where M overflows delta is 1 but for 1e-300."""
    x = eps / r - r / 2
    with np.errstate(over="ignore"):
        here, there = (math.sqrt(math.pi / 2) * erfcx(z / math.sqrt(2)) for z in (x, x + r))
        density = -(x**2) / 2 * (1 - 1e-15) - math.log(2 * math.pi) / 2
    return np.minimum(density + np.log(here - there + 1e-15 * here), 0.0)
