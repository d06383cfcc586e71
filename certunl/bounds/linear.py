"""Constants in closed form for softmax and least-squares regression, for Newton's and for the Hessian-free method."""

import math

import jax
import numpy as np

from certunl.base import Params
from certunl.bounds.constants import HessianFreeConstants, NewtonConstants
from certunl.bounds.linear_loss import LinearLoss, linear_loss
from certunl.bounds.rounding import clip_rounding, coarsest
from certunl.errors import BadInput, Diverged
from certunl.training.run import Run

__all__ = ["hessian_free_constants", "linear_constants"]


def linear_constants(run: Run, retained: float, failure_probability: float = 1e-6) -> NewtonConstants:
    """Newton's constants for `classification(Linear)` or `regression(Linear)`, in closed form (`linear_loss`).

    With mu = weight_decay + l2 · `retained`, where `retained` is the sum of the retained examples' weights:

        softmax         L = R²/2 + l2    M = (√6/9) R³    lambda_min = mu
        least squares   L = R² + l2      M = 0            lambda_min = mu

    G = 0, because the reference is the minimiser. It lies in the ball, because mu/2 ‖w‖² <= L(0). R is measured on
    the data, so the constants hold for these data and describe them.
    Raises: BadInput for any other problem, without weight decay and l2, and if the ball is too small for the
    minimiser.
    """
    loss = linear_loss(run, "NewtonConstants")
    mu = run.recipe.weight_decay + loss.l2 * retained
    if not mu > 0:
        raise BadInput('assumed="linear" needs weight decay or l2; without them the risk is not strongly convex')
    reach = math.sqrt(2 * loss.loss_at_zero * retained / mu)
    if run.recipe.radius is not None and run.recipe.radius < reach:
        raise BadInput(
            f"the minimiser may lie outside the ball of radius {run.recipe.radius:g}; radius >= {reach:.4g} holds it"
        )
    constants = NewtonConstants(
        smoothness=loss.smoothness + loss.l2,
        hessian_lipschitz=loss.hessian_lipschitz,
        smallest_eigenvalue=mu,
        gradient_residual=0.0,
        failure_probability=failure_probability,
        strong_convexity=mu,
    )
    names = ("smoothness", "hessian_lipschitz", "smallest_eigenvalue", "gradient_residual", "strong_convexity")
    object.__setattr__(constants, "proved", names)  # not an argument, because only this code may claim a proof
    return constants


def hessian_free_constants(run: Run) -> HessianFreeConstants:
    """The Hessian-free constants for `classification(Linear)` or `regression(Linear)` along `run`'s schedule.

    They hold for plain SGD and any request. G, L, M and change belong to the loss without l2
    (`linear_loss.LinearLoss`). W bounds the norm of the parameters at every step of training and retraining.

        gradient_bound   G + l2 W           smoothness         L + l2    convexity        l2
        gradient_change  change + 2 l2 W    hessian_lipschitz  M         gradient_spread  2 G

    G in this table is min(G, L W + ‖grad l(0)‖), which is finite for least squares as well. W is followed from
    ‖start‖. Let k be the retained share of the batch. W' is the smaller of these two, each of them the larger of its
    values for k = 0 and for the whole batch:

        |1 − rate (weight_decay + l2 k)| W + rate k G           (softmax)
        rho_k W + rate k ‖grad l(0)‖     rho_k = ‖I − rate (weight_decay + k H)‖ over l2 <= H <= L + l2

    Proof: grad l(w) = grad l(0) + H w with H a mean Hessian from 0 to w, and both lines are convex in k. There is no
    condition on rates. If they are too large, W grows, and the bound grows with it. With `radius` C, W' exceeds C by
    no more than rounding.
    Rounding: there are p features (counting the bias), c outputs and b slots. Each operation is within 4 eps of its
    exact value, and sums may be in any order. A training step is off by at most eps times
        3 W (1 + rate weight_decay) + rate k [L (p + 1) W + R (3 R W + 2 c + 20) + (b + 9)(G + l2 W)].
    A step of a vector a is off by at most twice that, plus eps ‖a‖ times
        3 (1 + rate weight_decay) + rate k [L (p + b + 10) + (b + 9) l2 + 3 R² ((p + 7) R W/2 + 2 c + 20)].
    A projection onto the ball is off by at most C times `clip_rounding`.

    R and Y are measured on the data, so the constants hold for these data and describe them. A model that bounds its
    inputs fixes R instead (`public`).
    Raises: BadInput for any other problem, for weights other than 0 and 1, and for a step that is not plain SGD
    (projected or not); Diverged if W leaves the range of usable numbers.
    """
    run.need_history("a bound on the steps of training")
    loss, recipe, schedule = linear_loss(run, "HessianFreeConstants"), run.recipe, run.schedule
    weights, rates = np.asarray(schedule.weights), np.asarray(schedule.rates, np.float64)
    if not np.isin(weights, (0, 1)).all():
        raise BadInput("constants in closed form need a schedule with weights of 0 and 1")
    if recipe.optimizer != "sgd" or recipe.clip_norm is not None:
        raise BadInput("constants in closed form need plain SGD, without clip_norm")
    sizes = np.sum(weights != 0, axis=1)
    divisors = np.asarray(schedule.divisors, np.float64) if recipe.denominator == "batch" else sizes
    filled = np.divide(sizes, divisors, out=np.zeros_like(rates), where=divisors > 0)
    lost = 0.0 if recipe.radius is None else recipe.radius * clip_rounding(run.start)
    ball = math.inf if recipe.radius is None else recipe.radius + lost
    W = _reach(loss, _norm(run.start), rates, filled, recipe.weight_decay, ball)
    if not W < 1e100:
        raise Diverged(f"parameters may grow to {W:.3g} at these rates, where no constant holds; lower learning_rate")
    R, L, l2, p = loss.norm, loss.smoothness, loss.l2, loss.features
    of_data = loss.of_data(W)
    G = of_data + l2 * W
    eps = coarsest(run.start)
    longest, decayed = float(np.max(rates * filled, initial=0)), 3 * (1 + float(rates.max()) * recipe.weight_decay)
    b, softmax = weights.shape[1], 3 * R * W + 2 * loss.outputs + 20
    constants = HessianFreeConstants(
        gradient_bound=G,
        smoothness=L + l2,
        hessian_lipschitz=loss.hessian_lipschitz,
        convexity=l2,
        gradient_change=loss.change + 2 * l2 * W,
        gradient_spread=2 * of_data,
        rounding=loss.rounding(eps=eps, reach=W, longest=longest, decayed=decayed, slots=b) + lost,
        product_rounding=eps
        * (decayed + longest * (L * (p + b + 10) + (b + 9) * l2 + 3 * R**2 * ((p + 1) * R * W / 2 + softmax))),
    )
    names = tuple(name for name in constants.__dataclass_fields__ if name not in ("estimated", "proved", "public"))
    object.__setattr__(constants, "proved", names)  # not an argument, because only this code may claim a proof
    object.__setattr__(constants, "public", loss.public)
    return constants


def _reach(
    loss: LinearLoss, start: float, rates: np.ndarray, filled: np.ndarray, weight_decay: float, ball: float
) -> float:
    """W of `hessian_free_constants`."""
    reach = largest = start
    for rate, whole in zip(rates.tolist(), filled.tolist(), strict=True):
        convex, bounded = 0.0, 0.0 if math.isfinite(loss.gradient) else math.inf
        for k in (0.0, whole):
            low, high = (abs(1 - rate * (weight_decay + k * h)) for h in (loss.l2, loss.l2 + loss.smoothness))
            convex = max(convex, max(low, high) * reach + rate * k * loss.gradient_at_zero)
            bounded = max(bounded, low * reach + (rate * k * loss.gradient if bounded < math.inf else 0.0))
        reach = min(convex, bounded, ball)
        largest = max(largest, reach)
    return largest


def _norm(params: Params) -> float:
    return math.sqrt(sum(float(np.sum(np.asarray(leaf, np.float64) ** 2)) for leaf in jax.tree.leaves(params)))
