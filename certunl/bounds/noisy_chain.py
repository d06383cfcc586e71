"""Two noisy chains whose steps contract up to a shift: how hard the laws of their ends are to tell apart."""

import math
from typing import Any

import numpy as np

from certunl.errors import BadInput

__all__ = ["noisy_chain"]


def noisy_chain(*, start: float, contractions: Any, shifts: Any, noises: Any) -> tuple[float, float]:
    """(Z, √S): the ends of two chains are at least as hard to tell apart as two Gaussians with means Z apart.

    The Gaussians have standard deviation √S. The statement holds in either order, so epsilon is exact Gaussian
    calibration at √S/Z.

        Z = z_0 prod_t c_t + sum_t p_t u_t        S = sum_t p_t² s_t²        p_t = prod_{j>t} c_j

    The chains are X_t = φ_t(X_{t−1}) + N(0, s_t² I) and X'_t = φ'_t(X'_{t−1}) + N(0, s_t² I) for t = 1..K, with fresh
    independent noise in every step. They start at ‖X_0 − X'_0‖ <= z_0 under some coupling, and
    ‖φ_t(x) − φ'_t(x')‖ <= c_t ‖x − x'‖ + u_t for all x and x'. The arguments are `start` z_0, `contractions` c f[t],
    `shifts` u f[t] and `noises` s f[t]. If φ and φ' also share random mini-batches that do not depend on the
    forgotten examples, the statement holds conditionally on them, and so for their mixture.

    Proof: let a_t = (Z/S) p_t s_t² and z_t = c_t z_{t−1} + u_t − a_t, so that z_K = 0. The code tests z_t >= 0 for
    t < K; then 0 <= a_t <= c_t z_{t−1} + u_t. Put X~_0 = X'_0 and θ_t = a_t/(c_t z_{t−1} + u_t). With the noise of
    X_t, let X~_t = φ'_t(X~_{t−1}) + θ_t [φ_t(X_{t−1}) − φ'_t(X~_{t−1})] + noise. By induction ‖X_t − X~_t‖ <= z_t,
    hence X~_K = X_K. Given X~_{t−1} = x, X~_t is a mixture of Gaussians whose means lie within a_t of φ'_t(x), the
    mean of X'_t given X'_{t−1} = x. Every hockey-stick divergence is jointly convex, so this step alone is at least
    as private as a Gaussian shift a_t/s_t. Adaptive composition of Gaussian shifts (Dong, Roth, Su 2022) adds their
    squares: sum_t a_t²/s_t² = Z²/S. For constant c <= 1, u and s the condition always holds, because c^t z_t is a
    quadratic in y = c^t that is at most 0 at y = 0, 0 at c^K and z_0 at 1 (for c = 1, z_t = z_0 (1 − t/K)).
    Source: the idea is the shifted interpolation of Bok, Su and Altschuler 2024.
    Raises: BadInput for chains that violate the condition, and for chains without noise that reaches the end.

    >>> Z, noise = noisy_chain(start=2.0, contractions=[1.0] * 10, shifts=[0.01] * 10, noises=[2.4774] * 10)
    >>> round(Z / noise, 5)
    0.26805
    """
    c, u, s = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (contractions, shifts, noises)))
    for name, values in (("start", np.float64(start)), ("contractions", c), ("shifts", u), ("noises", s)):
        if not (np.isfinite(values).all() and (values >= 0).all()):
            raise BadInput(f"{name} of a noisy chain must be finite numbers of at least 0")
    if c.ndim != 1 or not len(c):
        raise BadInput("a noisy chain needs at least one step; give one number of each kind for each step")
    p = np.append(np.cumprod(c[:0:-1])[::-1], 1.0)
    Z, S = float(start * p[0] * c[0] + p @ u), float(np.sum((p * s) ** 2))
    if not S > 0:
        raise BadInput("no noise reaches the end of the chain; raise the noise of its last steps")
    z, largest = float(start), max(float(start), float(u.max()))
    for t in range(len(c)):
        z = c[t] * z + u[t] - Z / S * p[t] * s[t] ** 2
        largest = max(largest, z)
        if z < -1e-9 * largest:
            raise BadInput(
                f"the noise of step {t + 1} of {len(c)} is too large for the remaining distance; spread it evenly"
            )
    return Z, math.sqrt(S)
