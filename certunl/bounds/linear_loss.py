"""Facts in closed form about one example's loss, for softmax and least-squares regression."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.errors import BadInput
from certunl.models import Linear
from certunl.models.linear import shortened
from certunl.training.losses import softmax_loss, squared_loss
from certunl.training.modules import Supervised
from certunl.training.run import Run

__all__ = ["LinearLoss", "blocks", "linear_loss"]

_NUMBERS = 2**21
"""How many numbers of inputs are in memory as float64 at a time."""


@dataclass(frozen=True)
class LinearLoss:
    """Facts about one example's loss without l2, over all parameters. The bias counts as a feature of 1.

    With R = max ‖x_i‖ and Y = max ‖y_i‖:

        softmax         G = √2 R    change = √2 R    L = R²/2    M = (√6/9) R³    at zero: √(1 − 1/c) R and ln c
        least squares   unbounded   unbounded        L = R²      M = 0            at zero: R Y and Y²/2

    Proof: a softmax gradient is (p − e_y) x', and the Hessian is (diag p − pp') ⊗ xx'. v'(diag
    p − pp')v = Var_p(v) <= range(v)²/4 <= ‖v‖²/2. The derivative of the Hessian is a third central moment, at most
    range³/(6√3), with range <= √2 ‖v‖.

    Args:
        norm: R over the data, or from the model's own `bound`, a little more for its rounding.
        gradient: G, bound on the norm of a gradient.
        change: bound on the norm of the difference of one example's gradients at two points.
        smoothness: L, Lipschitz constant of the gradient.
        hessian_lipschitz: M, Lipschitz constant of the Hessian.
        gradient_at_zero: bound on the norm of a gradient where all parameters are 0.
        loss_at_zero: bound on the loss where all parameters are 0.
        l2: factor of the regulariser in each example's loss.
        features: number p of features, the bias included.
        outputs: number c of outputs.
        public: whether none of these numbers was measured on the data.
    """

    norm: float
    gradient: float
    change: float
    smoothness: float
    hessian_lipschitz: float
    gradient_at_zero: float
    loss_at_zero: float
    l2: float
    features: int
    outputs: int
    public: bool

    def of_data(self, reach: float) -> float:
        """min(G, L W + ‖grad l(0)‖), a bound on the norm of a gradient without l2 where ‖w‖ <= W = `reach`."""
        return min(self.gradient, self.smoothness * reach + self.gradient_at_zero)

    def rounding(self, *, eps: float, reach: float, longest: float, decayed: float, slots: int) -> float:
        """The error of one computed step, with `longest` >= rate k and `decayed` = 3 (1 + rate weight_decay).

        See `linear.hessian_free_constants`.
        """
        p, R, W = self.features, self.norm, reach
        softmax, G = 3 * R * W + 2 * self.outputs + 20, self.of_data(W) + self.l2 * W
        return eps * (decayed * W + longest * (self.smoothness * (p + 1) * W + R * softmax + (slots + 9) * G))


def linear_loss(run: Run, instead: str) -> LinearLoss:
    """The `LinearLoss` of a run. `instead` is the setting that the error message tells the user to give.

    Raises: BadInput for any problem but `classification(Linear)` and `regression(Linear)`.
    """
    losses, data = run.problem.losses, run.problem.data
    exact = (
        run.problem.frozen is None and type(losses) is Supervised and type(losses.model) is Linear
    )  # a subclass may compute anything
    if not (exact and losses.output_loss in (softmax_loss, squared_loss)):
        raise BadInput(f"a closed form needs classification(Linear()) or regression(Linear()); give {instead}")
    model = losses.model
    d = math.prod(data.x.shape[1:])
    features, c = d + model.bias, model.classes
    if model.bound is not None:  # (d + 10) eps covers d squares summed in any order, a root, a quotient and a product
        largest = (
            float(model.bound) * (1 + (d + 10) * float(jnp.finfo(jax.dtypes.canonicalize_dtype(model.dtype)).eps))
        ) ** 2
    else:
        largest = max(float(np.max(np.sum(x**2, axis=1))) for _, x in blocks(run, np.arange(len(data))))
    R = math.sqrt(largest + model.bias)
    if losses.output_loss is softmax_loss and not ((np.asarray(data.y) >= 0) & (np.asarray(data.y) < c)).all():
        raise BadInput(f"a closed form needs labels from 0 to {c - 1}; remove examples with other labels")
    if losses.output_loss is softmax_loss:
        G, zero, public = math.sqrt(2) * R, math.sqrt(1 - 1 / c) * R, model.bound is not None
        return LinearLoss(R, G, G, R**2 / 2, math.sqrt(6) / 9 * R**3, zero, math.log(c), losses.l2, features, c, public)
    targets = np.asarray(data.y, np.float64).reshape(len(data), -1)
    Y = math.sqrt(float(np.max(np.sum(targets**2, axis=1))))
    return LinearLoss(R, math.inf, math.inf, R**2, 0.0, R * Y, Y**2 / 2, losses.l2, features, c, False)


def blocks(run: Run, ids: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(ids, inputs of `Linear` f64[b, d]) for a few of `ids` at a time.

    The inputs are cast to the model's dtype as `Linear` does it, then shortened to its `bound` in float64.
    """
    losses: Any = run.problem.losses
    model, x = losses.model, np.asarray(run.problem.data.x)
    size = max(1, _NUMBERS // max(math.prod(x.shape[1:]), 1))
    for begin in range(0, len(ids), size):
        some = ids[begin : begin + size]
        inputs = x[some].reshape(len(some), -1).astype(model.dtype).astype(np.float64)
        yield some, inputs if model.bound is None else shortened(inputs, model.bound, np)
