"""Theorem 4 of Qiao et al. 2025 in two spellings. It is here for reproduction; no certificate rests on it."""

from certunl.errors import BadInput

__all__ = ["published_bound"]


def published_bound(
    *,
    learning_rate: float,
    decay: float,
    contraction: float,
    gradient_bound: float,
    examples: int,
    batch_size: int,
    epochs: int,
    forgotten: int,
    spelling: str,
    slot: int = 0,
) -> float:
    """2 eta G zeta, with rho = `contraction`, q = `decay`, m = `forgotten`, B batches an epoch, T steps.

    `spelling` "code" is the formula of the authors' program, with B = ceil(n/|B|) and T = n (E + 1)/|B|:

        zeta = eta (1 − q) [(rho^T − q^T)/(rho − q) − (rho^T − q^(2T))/(rho − q²)]
               + (m/|B|) (rho^T − q^T)/(rho^B − q^B) rho^B q^B

    "derived" is the same recursion unrolled, with T = B E and all m examples in batch `slot` (counted from 0):

        zeta = eta/(1 − q) [the same bracket] + (m/|B|) (rho^T − q^T)/(rho^B − q^B) q^slot rho^(B−1−slot)

    Both spellings have gaps. They take the remainder to be ‖w' − w‖ with a constant of 1, but it is M ‖w' − w‖²/2.
    They take the dropped cross term to be 2 G, so m enters linearly and the bound is no better than doing nothing.
    rho is one number, which the program always finds to be 1. The first term of the code is too small by (1 − q)²,
    which is 2.5e-5 at q = 0.995.
    Source: Qiao et al. 2025, theorem 4 and the released program.
    """
    eta, rho, q = learning_rate, contraction, decay
    if spelling not in ("code", "derived"):
        raise BadInput(f"spelling must be code or derived, got {spelling!r}")
    if not (decay < 1 and rho not in (q, q**2)):
        raise BadInput(f"the closed form divides by 1 - decay, rho - decay and rho - decay²; got {q:g} and rho {rho:g}")
    B = -(-examples // batch_size)
    if spelling == "code":
        T = examples * (epochs + 1) / batch_size
        first, power = eta * (1 - q), rho**B * q**B
    else:
        T = B * epochs
        first, power = eta / (1 - q), q**slot * rho ** (B - 1 - slot)
    bracket = (rho**T - q**T) / (rho - q) - (rho**T - q ** (2 * T)) / (rho - q**2)
    second = forgotten / batch_size * (rho**T - q**T) / (rho**B - q**B) * power
    return 2 * eta * gradient_bound * (first * bracket + second)
