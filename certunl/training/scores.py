"""Losses and predictions of examples, and what the outputs of a model mean."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from certunl.base import Params
from certunl.errors import BadInput
from certunl.training.dataset import Dataset

__all__ = ["KINDS", "Scores", "check_shapes", "scored"]

KINDS = ("classification", "binary", "multilabel", "regression", "sequence")
"""What a problem predicts: one of c classes, a bit, several bits, numbers, or a class at each place of a sequence."""


@struct.dataclass
class Scores:
    """Losses and outputs of n examples.

    Args:
        losses: f[n].
        correct: f[n], the share of an example's predictions that are right: 0 or 1 for one class or bit; None unless
            the problem predicts classes or bits.
        outputs: f[n, c], the logits; None unless the problem predicts one class or bit. A bit has the logits (0, z).
        labels: i32[n]; None in the same cases.
    """

    losses: jax.Array
    correct: jax.Array | None
    outputs: jax.Array | None = None
    labels: jax.Array | None = None

    def margins(self) -> jax.Array:
        """f[n]: ln(p/(1 − p)) for the probability p of an example's class (LiRA's scale), or −loss without classes.

        The values are clipped to [−100, 100]. NaN becomes −100.
        """
        if self.outputs is None or self.labels is None:
            margins = -self.losses
        else:
            mine = jax.nn.one_hot(self.labels, self.outputs.shape[-1], dtype=bool)
            others = jax.nn.logsumexp(jnp.where(mine, -jnp.inf, self.outputs), axis=-1)
            margins = jnp.max(jnp.where(mine, self.outputs, -jnp.inf), axis=-1) - others
        return jnp.clip(jnp.nan_to_num(margins, nan=-100.0), -100.0, 100.0)

    def likelihoods(self) -> jax.Array:
        """f[n]: −loss, at least −1e6. The value is −1e6 if the loss is NaN or +infinity."""
        return jnp.maximum(jnp.nan_to_num(-self.losses, nan=-1e6), -1e6)


def check_shapes(kind: str | None, outputs: tuple[int, ...], targets: tuple[int, ...]) -> None:
    """Raises: BadInput unless targets and outputs of one example have shapes that fit the kind."""
    both = f"targets of shape {list(targets)} do not fit outputs of shape {list(outputs)} per example"
    if kind == "classification" and (len(outputs) != 1 or outputs[0] < 2 or targets):
        raise BadInput(f"{both}: a classification has one logit for each of two or more classes, and one label")
    if kind == "sequence" and (len(outputs) < 2 or outputs[:-1] != targets):
        raise BadInput(f"{both}: a sequence has one label for each vector of logits")
    if kind == "binary" and (math.prod(outputs) != 1 or math.prod(targets) != 1):
        raise BadInput(
            f"{both}: binary(...) needs one logit and one label; use classification(...) for one logit per class, "
            "multilabel(...) for bits"
        )
    if kind in ("multilabel", "regression") and math.prod(outputs) != math.prod(targets):
        raise BadInput(both)


@partial(jax.jit, static_argnames=("losses", "kind", "size"))
def scored(losses: Any, kind: str | None, params: Params, data: Dataset, size: int = 1000) -> Scores:
    """The scores of the examples of `data`; `kind` says what the outputs of `losses.predict` mean."""
    n = len(data)
    # pieces of equal size; the last ones repeat the last example, and [:n] drops the repetitions
    pieces = -(-n // size)
    slots = jnp.minimum(jnp.arange(pieces * -(-n // pieces)).reshape(pieces, -1), n - 1)
    predict = None if kind in (None, "regression") else getattr(losses, "predict", None)

    def score(indices: jax.Array) -> Scores:
        batch = data[indices]
        with jax.default_matmul_precision("highest"):
            values = losses(params, batch)
            return Scores(values, None) if predict is None else _judged(kind, values, predict(params, batch.x), batch.y)

    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:n], jax.lax.map(score, slots))


def _judged(kind: str | None, values: jax.Array, outputs: jax.Array, y: jax.Array) -> Scores:
    """The scores of a batch whose model gave `outputs`."""
    if kind == "classification":
        return Scores(values, (jnp.argmax(outputs, axis=-1).astype(y.dtype) == y).astype(values.dtype), outputs, y)
    if kind == "binary":
        z = outputs.reshape(len(values))
        both = jnp.stack([jnp.zeros_like(z), z], axis=-1)
        labels = y.reshape(len(values)).astype(jnp.int32)
        return Scores(values, ((z > 0) == (labels == 1)).astype(values.dtype), both, labels)
    if kind == "multilabel":
        right, counted = (outputs > 0) == (y.reshape(outputs.shape) > 0), jnp.ones(outputs.shape, bool)
    else:
        right, counted = jnp.argmax(outputs, axis=-1).astype(y.dtype) == y, y >= 0
    axes = tuple(range(1, right.ndim))
    many = jnp.maximum(jnp.sum(counted, axis=axes), 1).astype(values.dtype)
    return Scores(values, jnp.sum(right & counted, axis=axes).astype(values.dtype) / many)
