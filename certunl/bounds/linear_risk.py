"""The retained risk of softmax and least-squares regression and its gradient in NumPy float64, rounding bounded."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from optax.projections import projection_l2_ball

from certunl.base import Params
from certunl.bounds.linear_loss import LinearLoss, blocks, linear_loss
from certunl.certificates.guarantee import minimiser
from certunl.errors import BadInput
from certunl.training.run import Run
from certunl.training.supervised import softmax_loss

__all__ = ["LinearRisk", "Slope", "linear_risk"]

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Slope:
    """`gradient` (a pytree like params, float64), its `norm`, and `rounding`: how far that may be from the exact one,
    and what it lacks where the point is a little outside the ball."""

    gradient: Params
    norm: float
    rounding: float

    @property
    def most(self) -> float:
        """The exact norm is at most this."""
        return self.norm + self.rounding


@dataclass(frozen=True)
class LinearRisk:
    """L(w) = (1/n_S) sum_{i in kept} l_i(w) + weight_decay/2 ‖w‖² (+ <b, w>/n_S): `risk.Risk` in closed form.

    `kept` are the retained examples that training visited, `gone` the number of those not retained, n_S = `divisor` the
    number of `kept` for denominator="retained", of everyone visited for "batch": what is minimised is then not the mean
    over those who are left but their sum over an unchanged n, the regulariser weighing as much as before, as in
    retraining.
    l_i sees the input cast to the model's dtype, as `Linear` does, and shortened exactly, not in that dtype.
    """

    run: Run
    loss: LinearLoss
    kept: np.ndarray
    divisor: int
    gone: int

    @property
    def share(self) -> float:
        """The sum of the retained examples' weights."""
        return len(self.kept) / self.divisor

    @property
    def strong_convexity(self) -> float:
        """mu = weight_decay + l2 share: the losses themselves are convex."""
        return self.run.recipe.weight_decay + self.loss.l2 * self.share

    @property
    def least_convexity(self) -> float:
        """mu at least, the same whoever asks: everyone ever forgotten counts as visited."""
        share = 1 - self.gone / self.divisor if self.run.recipe.denominator == "batch" else 1.0
        return self.run.recipe.weight_decay + self.loss.l2 * max(share, 0.0)

    @property
    def reference(self) -> str:
        """What a distance is bounded to."""
        return minimiser(self.run.recipe.radius)

    def mask(self) -> np.ndarray:
        """bool[n] of `kept`."""
        return np.isin(np.arange(len(self.run.present)), self.kept)

    def slope(self, params: Params, b: Params = None) -> Slope:
        """The gradient at the point that would be released: `params`, projected as `Update.projected` does.

        Rounding, as `bounds.linear` counts it (p features, n examples, W = ‖w‖, k = share, each operation within 4 eps,
        sums in any order): eps times
            3 weight_decay W + k [L (p + 1) W + R (3 R W + 2 c + 20) + (n + 9)(G + l2 W)] + k (p + 10)(L W + G),
        the last term for the inputs, off by at most (p + 10) eps R where they were shortened: logits move by that
        times W, and the gradient's other factor is at most G/R. A point outside the ball by t is moved into it by t,
        and its gradient by at most t times the largest eigenvalue, its distance by t: (eigenvalue + mu) t is added.
        """
        recipe, loss, k = self.run.recipe, self.loss, self.share
        point = params if recipe.radius is None else projection_l2_ball(params, recipe.radius)
        w = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), point)
        tilt = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) / self.divisor, b) if b is not None else None
        curvature = recipe.weight_decay + loss.l2 * k
        gradient = jax.tree.map(lambda a, v: a + curvature * v, self._of_data(w), w)
        if tilt is not None:
            gradient = jax.tree.map(np.add, gradient, tilt)
        W, p = _norm(w), loss.features
        limits = {"reach": W, "longest": k, "decayed": 3 * recipe.weight_decay, "slots": len(self.kept)}
        rounding = loss.rounding(eps=_EPS, **limits)
        rounding += _EPS * (k * (p + 10) * (loss.smoothness * W + loss.of_data(W)) + (2 * _norm(tilt) if tilt else 0.0))
        if recipe.radius is not None:
            outside = max(0.0, W - recipe.radius)
            rounding += (loss.smoothness + loss.l2 + recipe.weight_decay + self.strong_convexity) * outside
        return Slope(gradient, _norm(gradient), rounding)

    def _of_data(self, w: Params) -> Params:
        """(1/n_S) sum_i grad l_i, without l2."""
        (name, layer), *_ = w.items()
        y, softmax = np.asarray(self.run.problem.data.y), self.run.problem.losses.output_loss is softmax_loss
        total = {key: np.zeros_like(leaf) for key, leaf in layer.items()}
        for ids, x in blocks(self.run, self.kept):
            errors = x @ layer["kernel"] + layer.get("bias", 0.0)
            if softmax:
                errors = np.exp(errors - errors.max(axis=1, keepdims=True))
                errors /= errors.sum(axis=1, keepdims=True)
                errors[np.arange(len(ids)), y[ids]] -= 1
            else:
                errors -= y[ids].reshape(errors.shape)
            total["kernel"] += x.T @ errors
            if "bias" in total:
                total["bias"] += errors.sum(axis=0)
        return {name: {key: leaf / self.divisor for key, leaf in total.items()}}


def linear_risk(run: Run, retained: Any) -> LinearRisk:
    """The risk over `retained` bool[n].

    Raises: BadInput for other problems than `classification(Linear)` and `regression(Linear)`, without weight decay or
    l2, and where nobody that training visited is left.
    """
    loss = linear_loss(run, "such a problem")
    retained, weights = np.asarray(retained), np.asarray(run.schedule.weights)
    visited = np.zeros(len(retained), bool)
    visited[np.asarray(run.schedule.indices)[weights != 0]] = True
    kept = np.flatnonzero(retained & visited)
    if not len(kept):
        raise BadInput("no example that training visited is left; there is nothing to retain")
    divisor = int(visited.sum()) if run.recipe.denominator == "batch" else len(kept)
    risk = LinearRisk(run, loss, kept, divisor, int(np.sum(~retained)))
    if not risk.least_convexity > 0:
        raise BadInput("the residual bounds no distance without weight decay or l2: the risk is not strongly convex")
    return risk


def _norm(tree: Params) -> float:
    """‖tree‖, rounded up: d squares summed in any order, and a root."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    d = sum(leaf.size for leaf in leaves)
    return float(np.sqrt(sum(np.sum(leaf**2) for leaf in leaves))) * (1 + (d + 10) * _EPS)
