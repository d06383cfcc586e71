"""How far a solver's x can be from A⁻¹ v, A = H + lambda I: one statement per kind of solver."""

import math

from certunl.certificates.guarantee import Assumption

__all__ = ["dimension_free_error", "lemma_depth", "printed_error", "residual_error"]

Error = tuple[float, tuple[Assumption, ...]]


def residual_error(*, residual: float, gap: float) -> Error:
    """‖x − A⁻¹ v‖ <= ‖v − A x‖/(lambda + lambda_min): for any x, of CG or another; no failure probability.

    `residual` = ‖v − A x‖ on the full retained data, `gap` = lambda + lambda_min > 0.
    """
    meaning = "norm left by the solver on the full retained data, for this request"
    return residual / gap, (Assumption("residual", residual, "estimated", meaning),)


def dimension_free_error(
    *, v: float, gap: float, scale: float, depth: int, repeats: int, failure_probability: float, status: str = "given"
) -> Error:
    """LiSSA, explicit in depth s and repeats s1: with probability at least 1 − rho

        ‖x − A⁻¹ v‖ <= ‖v‖ [(1 − gap/S)^(s+1)/gap + 2 √(2 ln(2/rho)/s1)/gap]

    if gap I <= A_t <= S I for every mini-batch operator A_t. `v` is ‖v‖, measured for this request.
    Proof: on an eigenvector of value m of A the mean is (1 − (1 − m/S)^(s+1))/m, so the bias is at most the first
    term; each chain has norm at most ‖v‖/gap, and Pinelis' inequality (1994, theorem 3.5) bounds the mean of s1
    independent ones around its expectation. No dimension enters.
    """
    bias = max(1 - gap / scale, 0.0) ** (depth + 1) / gap
    spread = 2 * math.sqrt(2 * math.log(2 / failure_probability) / repeats) / gap
    return v * (bias + spread), (
        Assumption("v", v, "estimated", "norm of the gradient solved for, for this request"),
        Assumption("S", scale, status, "at least the norm of every mini-batch operator"),
        Assumption("rho", failure_probability, "given", "failure probability of the estimated inverse"),
    )


def printed_error(
    *, L: float, radius: float, gap: float, dimension: int, residual: float, failure_probability: float, status: str
) -> Error:
    """LiSSA as printed in Zhang et al. 2024 (Theorem 3.6, Proposition 4.1): with probability at least 1 − rho

        (16 √ln(d/rho)/gap + 1/16)(2 L C + G)

    L with weight decay, 2 C the distance to the reference, `residual` = G. It drops repeats >= 1 and scale >= 1 from
    the LiSSA lemma and rests on its conditions: gap I <= A_t <= S I for every mini-batch, depth >= `lemma_depth`.
    """
    value = (16 * math.sqrt(math.log(dimension / failure_probability)) / gap + 1 / 16) * (2 * L * radius + residual)
    return value, (
        Assumption("L", L, status, "Lipschitz constant of the gradient of each loss, plus weight decay"),
        Assumption("rho", failure_probability, "given", "failure probability of the estimated inverse"),
    )


def lemma_depth(gap: float, scale: float) -> float:
    """2 kappa ln(4 kappa), kappa = scale/gap: the depth the LiSSA lemma asks for, all eigenvalues >= `gap` > 0."""
    kappa = max(scale / gap, 1.0)
    return 2 * kappa * math.log(4 * kappa)
