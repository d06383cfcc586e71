"""Newton's constants in closed form, for softmax and least-squares regression."""

import math

import numpy as np

from certunl.bounds._constants import NewtonConstants
from certunl.models import Linear
from certunl.problem import Supervised, softmax_loss, squared_loss
from certunl.training import Run
from certunl.typing import BadInput

__all__ = ["linear_constants"]


def linear_constants(run: Run, retained: float, failure_probability: float = 1e-6) -> NewtonConstants:
    """The constants of `classification(Linear)` or `regression(Linear)`, R = max ‖x_i‖ over the training data (the
    bias a feature of 1), mu = weight_decay + l2 · `retained`, `retained` the sum of the retained examples' weights:

        softmax         L = R²/2 + l2    M = (√6/9) R³    lambda_min = mu
        least squares   L = R² + l2      M = 0            lambda_min = mu

    G = 0: the reference is the minimiser, which lies in the ball, because mu/2 ‖w‖² <= L(0).
    Proof: the Hessian of a softmax loss is (diag p − pp') ⊗ xx', and v'(diag p − pp')v = Var_p(v) <= ‖v‖²/2; its
    derivative is a third central moment, at most range³/(6√3) with range <= √2 ‖v‖. R is measured: the constants hold
    for these data and describe them.
    Raises: BadInput for any other problem, without weight decay, and where the ball is too small to hold the minimiser.
    """
    losses, data = run.problem.losses, run.problem.data
    known = (softmax_loss, squared_loss)
    if not (isinstance(losses, Supervised) and isinstance(losses.model, Linear) and losses.output_loss in known):
        raise BadInput('assumed="linear" needs classification(Linear()) or regression(Linear()); give NewtonConstants')
    mu = run.recipe.weight_decay + losses.l2 * retained
    if not mu > 0:
        raise BadInput('assumed="linear" needs weight decay or l2: without it the risk is not strongly convex')
    x = np.asarray(data.x, np.float64).reshape(len(data), -1)
    square = float(np.max(np.sum(x**2, axis=1))) + losses.model.bias
    if losses.output_loss is softmax_loss:
        smooth, lipschitz, at_zero = square / 2, math.sqrt(6) / 9 * square**1.5, math.log(losses.model.classes)
    else:
        targets = np.asarray(data.y, np.float64).reshape(len(data), -1)
        smooth, lipschitz, at_zero = square, 0.0, float(np.max(np.sum(targets**2, axis=1))) / 2
    reach = math.sqrt(2 * at_zero * retained / mu)
    if run.recipe.radius is not None and run.recipe.radius < reach:
        raise BadInput(
            f"the minimiser may lie outside the ball of radius {run.recipe.radius:g}; radius >= {reach:.4g} holds it"
        )
    constants = NewtonConstants(
        smoothness=smooth + losses.l2,
        hessian_lipschitz=lipschitz,
        smallest_eigenvalue=mu,
        gradient_residual=0.0,
        failure_probability=failure_probability,
        strong_convexity=mu,
    )
    names = ("smoothness", "hessian_lipschitz", "smallest_eigenvalue", "gradient_residual", "strong_convexity")
    object.__setattr__(constants, "proved", names)  # only code may say so: it is no argument
    return constants
