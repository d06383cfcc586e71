"""What is learnt: data, initial parameters, and the one objective `losses(params, batch) -> f[b]`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from certunl.base import Key, Params
from certunl.errors import BadInput

__all__ = ["Dataset", "Problem", "Scores"]


@struct.dataclass
class Scores:
    """Per example: `losses f[n]`; and where the problem predicts classes `correct bool[n]`, `outputs f[n, c]` (logits)
    and `labels i32[n]`, else None."""

    losses: jax.Array
    correct: jax.Array | None
    outputs: jax.Array | None = None
    labels: jax.Array | None = None

    def margins(self) -> jax.Array:
        """f[n]: ln(p/(1 − p)) of the probability p of an example's class, LiRA's scale; without classes −loss. Between
        −100 and 100; −100 for a model that gives no number."""
        if self.outputs is None or self.labels is None:
            margins = -self.losses
        else:
            mine = jax.nn.one_hot(self.labels, self.outputs.shape[-1], dtype=bool)
            others = jax.nn.logsumexp(jnp.where(mine, -jnp.inf, self.outputs), axis=-1)
            margins = jnp.max(jnp.where(mine, self.outputs, -jnp.inf), axis=-1) - others
        return jnp.clip(jnp.nan_to_num(margins, nan=-100.0), -100.0, 100.0)

    def likelihoods(self) -> jax.Array:
        """f[n]: −loss, at least −1e6: so where it is infinite or no number."""
        return jnp.maximum(jnp.nan_to_num(-self.losses, nan=-1e6), -1e6)


_ARRAYS = ("x", "y", "owners")


@struct.dataclass
class Dataset:
    """Examples `x f[n, ...]`, targets `y` (classes `i32[n]` or values `f[n, ...]`), `owners i32[n]` or None.

    `data[indices]` is again a Dataset; a batch is one. `unchecked`: what these data take for granted, in words, such as
    where features came from; every certificate names it, and none is then PROVED.
    """

    x: Any
    y: Any
    owners: Any = None
    unchecked: tuple[str, ...] = struct.field(pytree_node=False, default=())

    def __post_init__(self) -> None:
        for name in _ARRAYS:
            if isinstance(held := getattr(self, name), list | tuple):
                object.__setattr__(self, name, np.asarray(held))
        words = (self.unchecked,) if isinstance(self.unchecked, str) else tuple(self.unchecked)
        object.__setattr__(self, "unchecked", words)

    def __len__(self) -> int:
        return self.y.shape[0]

    def __getitem__(self, indices: Any) -> "Dataset":
        return jax.tree.map(lambda array: array[indices], self)

    def check(self) -> None:
        """Raises BadInput where lengths disagree or a number is not finite."""
        lengths = {name: np.shape(a)[:1] for name in _ARRAYS if (a := getattr(self, name)) is not None}
        if len(set(lengths.values())) != 1 or () in lengths.values():
            raise BadInput(f"x, y and owners must have one row per example, got leading shapes {lengths}")
        if len(self) == 0:
            raise BadInput("the data hold no example")
        if self.owners is not None:
            owners = np.asarray(self.owners)
            limit = np.iinfo(np.int32).max
            if not (np.issubdtype(owners.dtype, np.integer) and (owners >= 0).all() and (owners <= limit).all()):
                raise BadInput(f"owners must be whole numbers from 0 to {limit}; number yours first (np.unique)")
        for name in ("x", "y"):
            array = np.asarray(getattr(self, name))
            if np.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
                rows = np.unique(np.argwhere(~np.isfinite(array))[:, 0])
                raise BadInput(
                    f"{name} holds NaN or infinity in {len(rows)} of {len(array)} examples (first: {rows[0]}); "
                    "remove or impute them"
                )


@struct.dataclass
class Problem:
    """What is learnt. `init(key) -> params`; `losses(params, batch) -> f[b]`, one per example, pure; `data`.

    If `losses` has an attribute `predict(params, x) -> outputs` (as those of `classification` have), accuracy can be
    reported. Two problems built alike compare equal, so compiled programs are reused.
    """

    init: Callable[[Key], Params] = struct.field(pytree_node=False)
    losses: Callable[[Params, Dataset], jax.Array] = struct.field(pytree_node=False)
    data: Dataset

    def risk(self, params: Params, batch: Dataset, weights: jax.Array) -> jax.Array:
        """sum_i weights_i l(params; z_i): every gradient and curvature in the house is a derivative of this.

        Matrix products are asked for at full precision: TF32 would put 1e-3 into differences of models.
        """
        with jax.default_matmul_precision("highest"):
            losses = self.losses(params, batch)
        return jnp.sum(losses * weights.astype(losses.dtype))

    def scores(self, params: Params, data: Dataset) -> Scores:
        """Losses, outputs and hits of the examples of `data`; in microbatches, compiled."""
        return _scores(self.losses, params, data)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What no statement about the parameters covers, by the model's word and the data's; on every certificate."""
        of_model = getattr(getattr(self.losses, "model", None), "unchecked", ())
        return tuple(dict.fromkeys((*of_model, *self.data.unchecked)))

    def check(self, params: Params) -> None:
        """Raises BadInput where losses are not one per example."""
        got = jax.eval_shape(self.losses, params, self.data[np.zeros(2, np.int32)])
        if getattr(got, "shape", None) != (2,):
            raise BadInput(f"losses must give one loss per example: expected shape (2,) for two examples, got {got}")


@partial(jax.jit, static_argnames=("losses", "size"))
def _scores(losses: Any, params: Params, data: Dataset, size: int = 1000) -> Scores:
    n = len(data)
    pieces = -(-n // size)
    slots = jnp.minimum(jnp.arange(pieces * -(-n // pieces)).reshape(pieces, -1), n - 1)
    predict = getattr(losses, "predict", None) if jnp.issubdtype(data.y.dtype, jnp.integer) else None

    def score(indices: jax.Array) -> Scores:
        batch = data[indices]
        with jax.default_matmul_precision("highest"):
            given = losses(params, batch)
            outputs = None if predict is None else predict(params, batch.x)
        if outputs is None:
            return Scores(given, None)
        return Scores(given, jnp.argmax(outputs, axis=-1) == batch.y, outputs, batch.y)

    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:n], jax.lax.map(score, slots))
