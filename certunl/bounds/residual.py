"""How far a point is from a minimiser, by the gradient there; and what gradient a Newton step of Guo et al. leaves."""

import math

import numpy as np

from certunl.errors import BadInput, one_of

__all__ = ["published_pairs", "residual_after_step", "residual_before_step", "residual_bound"]

_THIRD = {"softmax": math.sqrt(6) / 18, "binary": 1 / (12 * math.sqrt(3))}
"""Half of the largest third derivative of a loss in its logits: 1/(6 √3) for log(1 + e^-z), 2√2 times that for softmax,
where the logits' range is up to √2 times their norm."""


def residual_bound(*, residual: float, rounding: float, strong_convexity: float) -> float:
    """‖w − w~*‖ <= (‖grad F(w)‖ + rounding)/mu for every w, F mu-strongly convex, w~* its minimiser; and, where w lies
    in a convex set, for its minimiser over that set as well. `residual` is the gradient's computed norm, `rounding` how
    far that may be from the exact one.

    Proof: grad F is strongly monotone, mu ‖w − w~*‖² <= <grad F(w) − grad F(w~*), w − w~*>. For the minimiser anywhere
    grad F(w~*) = 0; for the one over a convex set that holds w, the variational inequality <grad F(w~*), w − w~*> >= 0.
    Either way mu ‖w − w~*‖² <= <grad F(w), w − w~*> <= ‖grad F(w)‖ ‖w − w~*‖ (Cauchy and Schwarz); divide. Equality on
    quadratics, where w − w~* is an eigenvector of the eigenvalue mu.
    No smoothness enters, nor how w was found. Where `residual` is a tolerance fixed before w was known and w was tested
    against it, the bound depends on nobody's data.
    Source: Guo et al. 2020 (the test of the residual); the bound is elementary.

    >>> residual_bound(residual=1e-5, rounding=1e-13, strong_convexity=1e-2)
    0.00100000001
    """
    if not strong_convexity > 0:
        raise BadInput(f"the residual bounds no distance without strong convexity, got {strong_convexity!r}")
    return (residual + rounding) / strong_convexity


def residual_after_step(*, loss: str, left: float, spectral: float, changes: object) -> float:
    """‖grad F(w + s)‖ <= left + kappa ‖X‖₂ √(sum_i ‖z_i‖⁴), s a Newton step of F = sum_i l_i + (mu n/2) ‖w‖² + <b, w>.

    `left` = ‖grad F(w) + H s‖, what the step leaves of the linear equation, `spectral` = ‖X‖₂ of the retained rows,
    `changes` f[n] the norms of the changes z_i = S x_i of each row's logits; kappa = √6/18 for "softmax", 1/(12 √3) for
    "binary" logistic losses. All is in the paper's convention, the *sum* over the rows. Looser, without the logits of
    each row: √(sum_i ‖z_i‖⁴) <= R ‖s‖ ‖X s‖, which may be given as one `changes` of its square root.

    Proof: regulariser and <b, w> are exact to first order, so grad F(w + s) = (grad F(w) + H s) + sum_i rho_i x_i',
    rho_i the Taylor remainder of the i-th logit gradient, ‖rho_i‖ <= kappa ‖z_i‖². As a matrix the sum is P'X,
    ‖P'X‖_F <= ‖X‖₂ ‖P‖_F, and ‖P‖_F <= kappa √(sum_i ‖z_i‖⁴). ‖z_i‖ <= R ‖s‖ gives the looser form.
    Source: Guo et al. 2020, whose gamma ‖X‖₂ ‖s‖ ‖X s‖ with gamma = 1/4 this is with Taylor's 1/2 and 1/(6 √3) used.
    """
    quartic = math.sqrt(float(np.sum(np.asarray(changes, np.float64) ** 4)))
    return left + _third(loss) * spectral * quartic


def residual_before_step(
    *, loss: str, norm: float, gradient: float, forgotten: int, retained: int, strong_convexity: float
) -> float:
    """kappa R³ |D_r| ‖s‖² with ‖s‖ <= n_u G/(mu |D_r|): `residual_after_step` for one exact Newton step from the old
    minimiser (b = 0) before anything is known but R = `norm` of the inputs, G = `gradient` >= that of one loss and its
    regulariser there (softmax 2√2 R, with the regulariser mu w inside each loss), and the numbers of rows.

    Proof: at the old minimiser the retained gradients sum to minus the forgotten ones, of norm at most n_u G; H is at
    least mu |D_r|; ‖z_i‖ <= R ‖s‖, ‖X‖₂ <= R √|D_r|. Divided by mu |D_r| it is the closed form of `newton_bound` with
    M = 2 kappa R³ and the paper's D. For planning: what is tested after the step is the true residual, far smaller.

    >>> known = {"loss": "softmax", "norm": 1.0, "gradient": 8**0.5, "strong_convexity": 0.1}
    >>> round(residual_before_step(**known, forgotten=1, retained=999) / (0.1 * 999), 5)
    0.00109
    """
    step = forgotten * gradient / (strong_convexity * retained)
    return _third(loss) * norm**3 * retained * step**2


def _third(loss: str) -> float:
    one_of(_THIRD, loss=loss)
    return _THIRD[loss]


def published_pairs(ratio: float) -> tuple[tuple[float, float], ...]:
    """(epsilon, 1.5 exp(−(epsilon/ratio)²/2)) on a grid of epsilons, of noise of 1/ratio times the residual in the
    objective. No theorem here: it takes the residual for independent of that noise, which it is not.

    Source: Guo et al. 2020, theorem 3, as recalled.
    """
    epsilons = np.unique(np.concatenate([np.arange(1, 21) / 10, np.geomspace(1e-3, 1e3, 601)]))
    return tuple((e, 1.5 * math.exp(-((e / ratio) ** 2) / 2)) for e in epsilons.tolist())
