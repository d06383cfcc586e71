"""The distance between a solver's x and A⁻¹ v, with A = H + lambda I. There is one statement per kind of solver.

`printed_error` is the lemma of Zhang et al. as printed at ICML 2024. Since its third version the paper carries an
erratum, whose text was not at hand. The default, `dimension_free_error`, has a proof of its own.
"""

import math

from certunl.certificates.guarantee import Assumption

__all__ = ["dimension_free_error", "lemma_depth", "printed_error", "residual_error"]

Error = tuple[float, tuple[Assumption, ...]]


def residual_error(*, residual: float, gap: float) -> Error:
    """‖x − A⁻¹ v‖ <= ‖v − A x‖/(lambda + lambda_min), for any x, from CG or another solver. It cannot fail by chance.

    `residual` = ‖v − A x‖ on the full retained data, `gap` = lambda + lambda_min > 0.
    """
    meaning = "residual norm of the solver on the full retained data, for this request"
    return residual / gap, (Assumption("residual", residual, "estimated", meaning),)


def dimension_free_error(
    *, v: float, gap: float, scale: float, depth: int, repeats: int, failure_probability: float, status: str = "given"
) -> Error:
    """The error of LiSSA with depth s and s1 repeats. With probability at least 1 − rho

        ‖x − A⁻¹ v‖ <= ‖v‖ [(1 − gap/S)^(s+1)/gap + 2 √(2 ln(2/rho)/s1)/gap]

    if gap I <= A_t <= S I for every mini-batch operator A_t. `v` is ‖v‖, measured for this request.
    Proof: on an eigenvector of A with eigenvalue m the mean is (1 − (1 − m/S)^(s+1))/m, so the bias is at most the
    first term. Each chain has norm at most ‖v‖/gap. Pinelis' inequality (1994, theorem 3.5) bounds the distance of
    the mean of s1 independent chains from its expectation. The dimension does not enter.
    """
    bias = max(1 - gap / scale, 0.0) ** (depth + 1) / gap
    spread = 2 * math.sqrt(2 * math.log(2 / failure_probability) / repeats) / gap
    return v * (bias + spread), (
        Assumption("v", v, "estimated", "norm of the right-hand side of the linear system, for this request"),
        Assumption("S", scale, status, "upper bound on the norm of every mini-batch operator"),
        Assumption("rho", failure_probability, "given", "failure probability of the estimated inverse"),
    )


def printed_error(
    *, L: float, radius: float, gap: float, dimension: int, residual: float, failure_probability: float, status: str
) -> Error:
    """The error of LiSSA as printed in Zhang et al. 2024 (Theorem 3.6, Proposition 4.1).

    With probability at least 1 − rho it is at most

        (16 √ln(d/rho)/gap + 1/16)(2 L C + G)

    L includes weight decay, 2 C is the distance to the reference, and G is `residual`. The paper drops repeats >= 1
    and scale >= 1 from the LiSSA lemma. The statement has the conditions of that lemma: gap I <= A_t <= S I for every
    mini-batch, and depth >= `lemma_depth`.
    """
    value = (16 * math.sqrt(math.log(dimension / failure_probability)) / gap + 1 / 16) * (2 * L * radius + residual)
    return value, (
        Assumption("L", L, status, "Lipschitz constant of the gradient of each loss, plus weight decay"),
        Assumption("rho", failure_probability, "given", "failure probability of the estimated inverse"),
    )


def lemma_depth(gap: float, scale: float) -> float:
    """2 kappa ln(4 kappa), kappa = scale/gap: the depth of the LiSSA lemma if all eigenvalues are >= `gap` > 0."""
    kappa = max(scale / gap, 1.0)
    return 2 * kappa * math.log(4 * kappa)
