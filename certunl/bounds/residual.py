"""A point's distance to a minimiser by its gradient, and the gradient that a Newton step of Guo et al. leaves."""

import math

import numpy as np

from certunl.errors import BadInput, one_of

__all__ = ["published_pairs", "residual_after_step", "residual_before_step", "residual_bound"]

_THIRD = {"softmax": math.sqrt(6) / 18, "binary": 1 / (12 * math.sqrt(3))}
"""Half of the largest third derivative of a loss in its logits. That derivative is 1/(6 √3) for log(1 + e^-z). For
softmax it is 2√2 times as large, because the range of the logits is up to √2 times their norm."""


def residual_bound(*, residual: float, rounding: float, strong_convexity: float) -> float:
    """‖w − w~*‖ <= (‖grad F(w)‖ + rounding)/mu for every w, with F mu-strongly convex and w~* its minimiser.

    If w lies in a convex set, this also holds for the minimiser over that set. `residual` is the computed norm of the
    gradient, and `rounding` bounds its error.

    Proof: grad F is strongly monotone, mu ‖w − w~*‖² <= <grad F(w) − grad F(w~*), w − w~*>. grad F(w~*) = 0 for the
    minimiser anywhere. For the minimiser over a convex set that contains w, the variational inequality is <grad
    F(w~*), w − w~*> >= 0. In both cases mu ‖w − w~*‖² <= <grad F(w), w − w~*> <= ‖grad F(w)‖ ‖w − w~*‖ (Cauchy and
    Schwarz); divide. Equality holds on quadratics if w − w~* is an eigenvector of the eigenvalue mu. The bound uses
    no smoothness, and it does not matter how w was found. If `residual` is a tolerance that was fixed before w was
    known, and w was tested against it, the bound depends on nobody's data.
    Source: Guo et al. 2020 (the test of the residual); the bound is elementary.

    >>> residual_bound(residual=1e-5, rounding=1e-13, strong_convexity=1e-2)
    0.00100000001
    """
    if not strong_convexity > 0:
        raise BadInput(f"the residual bounds a distance only under strong convexity above 0, got {strong_convexity!r}")
    return (residual + rounding) / strong_convexity


def residual_after_step(*, loss: str, left: float, spectral: float, changes: object) -> float:
    """‖grad F(w + s)‖ <= left + kappa ‖X‖₂ √(sum_i ‖z_i‖⁴) after a Newton step s.

    It is a step on F = sum_i l_i + (mu n/2) ‖w‖² + <b, w>. `left` = ‖grad F(w) + H s‖ is the residual of the linear
    equation after the step, and `spectral` = ‖X‖₂ of the retained rows. `changes` f[n] has the norms of z_i = S x_i,
    the change of each row's logits. kappa is √6/18 for "softmax" and 1/(12 √3) for "binary" logistic losses.
    Everything is in the paper's convention, the *sum* over the rows. If the logits of each row are unknown, √(sum_i
    ‖z_i‖⁴) <= R ‖s‖ ‖X s‖ with R = max ‖x_i‖ is a looser bound. Its square root may be passed as a single entry of
    `changes`.

    Proof: the regulariser and <b, w> are exact to first order, so
        grad F(w + s) = (grad F(w) + H s) + sum_i rho_i x_i',
    where rho_i is the Taylor remainder of the i-th logit gradient, ‖rho_i‖ <= kappa ‖z_i‖². As a matrix the sum is
    P'X, ‖P'X‖_F <= ‖X‖₂ ‖P‖_F, and ‖P‖_F <= kappa √(sum_i ‖z_i‖⁴). ‖z_i‖ <= R ‖s‖ gives the looser form.
    Source: Guo et al. 2020 have gamma ‖X‖₂ ‖s‖ ‖X s‖ with gamma = 1/4. This bound uses Taylor's 1/2 and 1/(6 √3) as
    well.
    """
    quartic = math.sqrt(float(np.sum(np.asarray(changes, np.float64) ** 4)))
    return left + _third(loss) * spectral * quartic


def residual_before_step(
    *, loss: str, norm: float, gradient: float, forgotten: int, retained: int, strong_convexity: float
) -> float:
    """kappa R³ |D_r| ‖s‖² with ‖s‖ <= n_u G/(mu |D_r|): `residual_after_step` before the step, for planning.

    It is for one exact Newton step from the old minimiser with b = 0. Only R = `norm` of the inputs, G = `gradient`
    and the numbers of rows are known. G bounds the gradient norm of one loss with its regulariser at the old
    minimiser (softmax 2√2 R, with the regulariser mu w inside each loss).

    Proof: at the old minimiser the retained gradients sum to minus the forgotten ones, of norm at most n_u G. H is at
    least mu |D_r|, ‖z_i‖ <= R ‖s‖, and ‖X‖₂ <= R √|D_r|. Divided by mu |D_r| it is the closed form of `newton_bound`
    with M = 2 kappa R³ and the paper's D. The test after the step uses the true residual, which is far smaller.

    >>> facts = {"loss": "softmax", "norm": 1.0, "gradient": 8**0.5, "strong_convexity": 0.1}
    >>> round(residual_before_step(**facts, forgotten=1, retained=999) / (0.1 * 999), 5)
    0.00109
    """
    step = forgotten * gradient / (strong_convexity * retained)
    return _third(loss) * norm**3 * retained * step**2


def _third(loss: str) -> float:
    one_of(_THIRD, loss=loss)
    return _THIRD[loss]


def published_pairs(ratio: float) -> tuple[tuple[float, float], ...]:
    """(epsilon, 1.5 exp(−(epsilon/ratio)²/2)) on a grid of epsilons.

    The noise in the objective is 1/ratio times the residual. This is not a theorem, because it assumes that the
    residual is independent of that noise, and it is not.

    Source: Guo et al. 2020, theorem 3, as recalled.
    """
    epsilons = np.unique(np.concatenate([np.arange(1, 21) / 10, np.geomspace(1e-3, 1e3, 601)]))
    return tuple((e, 1.5 * math.exp(-((e / ratio) ** 2) / 2)) for e in epsilons.tolist())
