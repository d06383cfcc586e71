"""The retained risk of softmax and least-squares regression, its gradient in NumPy float64, and a bound on rounding."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from optax.projections import projection_l2_ball

from certunl.base import Params
from certunl.bounds.linear_loss import LinearLoss, blocks, linear_loss
from certunl.certificates.guarantee import minimiser
from certunl.errors import BadInput
from certunl.training.losses import softmax_loss
from certunl.training.run import Run

__all__ = ["LinearRisk", "Slope", "linear_risk"]

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Slope:
    """The gradient of a `LinearRisk` at a point.

    Args:
        gradient: a pytree like params, float64.
        norm: its norm.
        rounding: bound on the error of `norm`, with an allowance for a point a little outside the ball.
    """

    gradient: Params
    norm: float
    rounding: float

    @property
    def most(self) -> float:
        """An upper bound on the exact norm."""
        return self.norm + self.rounding


@dataclass(frozen=True)
class LinearRisk:
    """L(w) = (1/n_S) sum_{i in kept} l_i(w) + weight_decay/2 ‖w‖² (+ <b, w>/n_S): `risk.Risk` in closed form.

    For denominator="batch" the minimised risk is not the mean over the retained examples. It is their sum divided by
    an unchanged n_S, and the regulariser weighs as much as before, as in retraining. l_i uses the input cast to the
    model's dtype, as `Linear` does, but shortened exactly and not in that dtype.

    Args:
        run: the training run.
        loss: facts about one example's loss.
        kept: ids i32[k] of the retained examples that training visited.
        divisor: n_S, the number of `kept` for denominator="retained", of all visited examples for "batch".
        gone: the number of examples that are not retained.
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
        """mu = weight_decay + l2 share, because the losses themselves are convex."""
        return self.run.recipe.weight_decay + self.loss.l2 * self.share

    @property
    def least_convexity(self) -> float:
        """A lower bound on mu that depends only on the number of forgotten examples, all counted as visited."""
        share = 1 - self.gone / self.divisor if self.run.recipe.denominator == "batch" else 1.0
        return self.run.recipe.weight_decay + self.loss.l2 * max(share, 0.0)

    @property
    def reference(self) -> str:
        """The model to which distances are bounded."""
        return minimiser(self.run.recipe.radius)

    def mask(self) -> np.ndarray:
        """bool[n] of `kept`."""
        return np.isin(np.arange(len(self.run.present)), self.kept)

    def slope(self, params: Params, b: Params = None) -> Slope:
        """The gradient at the released point, which is `params` projected as `Update.projected` does it.

        Rounding is counted as in `bounds.linear`, with p features, n examples, W = ‖w‖, k = share, each operation
        within 4 eps and sums in any order. It is eps times
            3 weight_decay W + k [L (p + 1) W + R (3 R W + 2 c + 20) + (n + 9)(G + l2 W)] + k (p + 10)(L W + G).
        The last term is for shortened inputs, which are off by at most (p + 10) eps R. That moves logits by the error
        times W, and the other factor of the gradient is at most G/R. A point outside the ball by t is moved into it
        by t. This changes its gradient by at most t times the largest eigenvalue and its distance by t, so
        (eigenvalue + mu) t is added.
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

    Raises: BadInput for other problems than `classification(Linear)` and `regression(Linear)`, without weight decay
    and l2, and if no visited example is left.
    """
    loss = linear_loss(run, "such a problem")
    retained, weights = np.asarray(retained), np.asarray(run.schedule.weights)
    visited = np.full(len(retained), not run.history)
    visited[np.asarray(run.schedule.indices)[weights != 0]] = True
    ids = np.flatnonzero(retained & visited)
    if not len(ids):
        raise BadInput("no example that training visited is left; there is nothing to retain")
    divisor = int(visited.sum()) if run.recipe.denominator == "batch" else len(ids)
    risk = LinearRisk(run, loss, ids, divisor, int(np.sum(~retained)))
    if not risk.least_convexity > 0:
        raise BadInput("without weight decay or l2 the risk is not strongly convex and its residual bounds no distance")
    return risk


def _norm(tree: Params) -> float:
    """‖tree‖, rounded up for d squares summed in any order and a root."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    d = sum(leaf.size for leaf in leaves)
    return float(np.sqrt(sum(np.sum(leaf**2) for leaf in leaves))) * (1 + (d + 10) * _EPS)
