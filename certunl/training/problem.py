"""A learning problem: data, initial parameters, and the one objective `losses(params, batch) -> f[b]`."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from certunl.base import Key, Params
from certunl.errors import BadInput, one_of, whole
from certunl.training.dataset import Dataset, automatic, check_data, rowwise
from certunl.training.host import OnHost
from certunl.training.modules import said
from certunl.training.scores import KINDS, Scores, check_shapes, scored
from certunl.training.shards import ShardInit, ShardLosses

__all__ = ["Dataset", "Problem", "Scores"]


@struct.dataclass
class Problem:
    """A learning problem: initial parameters, losses and data.

    Compiled programs are reused for every problem whose `init` and `losses` compare equal.

    Args:
        init: `init(key) -> params`, which draws the initial parameters.
        losses: `losses(params, batch) -> f[b]`, a pure function that gives one loss per example. If it has an
            attribute `predict(params, x) -> outputs`, as in `classification`, and `kind` says what the outputs mean,
            accuracy can be reported.
        data: the training data.
        kind: what the outputs mean, one of `KINDS`. None: nothing but losses is reported. It is never guessed from
            dtypes or shapes.
        randomness: the seed of random numbers inside the losses, such as dropout and augmentation. With it, each batch
            of training has `batch.ids i32[b]` and `batch.keys`, one key for each example, folded from the seed, the
            step and the example. So a replay repeats them, and rows stay exact. None: batches have none.
        frozen: parameters that are not trained, see `freeze`; None if all are.
    """

    init: Callable[[Key], Params] = struct.field(pytree_node=False)
    losses: Callable[[Params, Dataset], jax.Array] = struct.field(pytree_node=False)
    data: Dataset
    kind: str | None = struct.field(pytree_node=False, default=None)
    randomness: int | None = struct.field(pytree_node=False, default=None)
    frozen: Params = None

    def __post_init__(self) -> None:
        one_of((None, *KINDS), kind=self.kind)
        whole("without random losses", least=0, most=2**31 - 1, randomness=self.randomness)

    @property
    def sharded(self) -> bool:
        """Whether several models are trained, each on a shard of the examples of its own."""
        return isinstance(self.losses, ShardLosses)

    @property
    def shards(self) -> int:
        """The number of models, each of which has a shard of the examples of its own; 1 without shards."""
        return self.losses.shards if isinstance(self.losses, ShardLosses) else 1

    @property
    def one(self) -> "Problem":
        """The problem of one model, on all the data."""
        if not isinstance(self.losses, ShardLosses):
            return self
        init = self.init.one if isinstance(self.init, ShardInit) else self.init
        return replace(self, init=init, losses=self.losses.one)

    def batch(self, indices: jax.Array, number: jax.Array | None = None) -> Dataset:
        """The examples of step `number` of training, with their ids and keys if the losses are random."""
        batch = self.data[indices]
        if self.randomness is None or number is None:
            return batch
        key = jax.random.fold_in(jax.random.key(self.randomness), number)
        return replace(batch, ids=indices, keys=jax.vmap(partial(jax.random.fold_in, key))(indices))

    def numbered(self, schedule: Any, first: int = 0) -> Any:
        """`schedule` with the numbers of its steps, from `first`, if the losses are random and it has none."""
        return schedule if self.randomness is None else schedule.numbered(first)

    def whole(self, params: Params) -> Params:
        """All parameters of the model: `params`, with the frozen ones in their places."""
        if self.frozen is None:
            return params
        return jax.tree.map(lambda p, f: f if p is None else p, params, self.frozen, is_leaf=lambda leaf: leaf is None)

    def per_example(self, params: Params, batch: Any) -> jax.Array:
        """f[b]: the loss of every example of `batch`."""
        return self.losses(self.whole(params), batch)

    def outputs(self, params: Params, x: Any) -> jax.Array:
        """The model's outputs for the inputs `x`. The losses must have `predict`."""
        return self.losses.predict(self.whole(params), x)  # type: ignore[attr-defined]

    def risk(self, params: Params, batch: Dataset, weights: jax.Array) -> jax.Array:
        """sum_i weights_i l(params; z_i). Gradients and Hessian products are derivatives of this function.

        Matrix products use full precision, because TF32 would put errors of 1e-3 into differences of models.
        """
        with jax.default_matmul_precision("highest"):
            losses = self.per_example(params, batch)
        return jnp.sum(losses * weights.astype(losses.dtype))

    def scores(self, params: Params, data: Dataset) -> Scores:
        """The scores of the examples of `data`, computed in microbatches by a compiled program."""
        return scored(self.losses, self.kind, self.whole(params), data)

    def admit(self, data: Any, name: str = "the test set") -> Dataset:
        """`data` as arrays of the device, with the dtypes of the training data.

        Args:
            data: examples from outside, such as a test set.
            name: the name of these data in a message.

        Raises: BadInput unless they are a Dataset of finite numbers, with inputs and targets like those of the
        training data.
        """
        check_data(data, name)
        ours, theirs = (jax.tree_util.tree_flatten_with_path(d.x, is_leaf=_array)[0] for d in (self.data, data))
        names, others = ([jax.tree_util.keystr(path) for path, _ in leaves] for leaves in (ours, theirs))
        if names != others:
            raise BadInput(f"x of {name} has the arrays {others}, but the training data have {names}")
        for path, (_, mine), (_, its) in zip(names, ours, theirs, strict=True):
            _like(mine, its, f"x{path}", name)
        y = np.asarray(data.y)
        if self.kind in ("binary", "multilabel") and np.issubdtype(y.dtype, np.floating) and (y == np.rint(y)).all():
            data = replace(data, y=y.astype(np.int32))  # as the training data were taken
        _like(self.data.y, data.y, "y", name)
        self._check_labels(data, name)
        data = automatic(data)
        x = jax.tree.map(_as, data.x, self.data.x, is_leaf=_array)
        owners = None if data.owners is None else jnp.asarray(data.owners)
        return replace(data, x=x, y=_as(data.y, self.data.y), owners=owners)

    def classes(self) -> int | None:
        """The number c of classes of a classification or a sequence; None for other problems."""
        if self.kind not in ("classification", "sequence"):
            return None
        if not hasattr(self.losses, "predict"):
            return None
        one = self.data[np.zeros(1, int)]
        return jax.eval_shape(lambda key: self.outputs(self.init(key), one.x), jax.random.key(0)).shape[-1]

    def _check_labels(self, data: Dataset, name: str) -> None:
        """Raises BadInput for labels that the model cannot predict."""
        if self.kind in (None, "regression"):
            return
        labels = np.asarray(data.y)
        most = 2 if self.kind in ("binary", "multilabel") else self.classes() or math.inf
        low = int(labels.min()) if self.kind != "sequence" else 0  # below 0: places that do not count
        if low < 0 or labels.max() >= most or (labels != np.rint(labels)).any():
            raise BadInput(
                f"labels of {name} run from {labels.min()} to {labels.max()}, but the model predicts "
                + ("whole numbers from 0" if math.isinf(most) else f"0 to {most - 1}")
            )

    @property
    def unchecked(self) -> tuple[str, ...]:
        """Conditions that the model and the data declare unchecked, in words. Every certificate names them."""
        of_model = getattr(getattr(self.one.losses, "model", None), "unchecked", ())
        own = (() if self.frozen is None else (_FROZEN,)) + ((_CHANGED,) if self.data.on_host else ())
        return tuple(dict.fromkeys((*of_model, *self.data.unchecked, *own)))

    def check(self, params: Params) -> None:
        """Raises BadInput unless `losses` gives one real loss per example."""
        try:
            losses = jax.eval_shape(self.per_example, params, self.data[np.zeros(2, np.int32)])
        except BadInput:
            raise
        except Exception as error:  # the user's own function may fail in any way
            raise BadInput(f"the losses cannot be computed for two examples ({said(error)})") from error
        if getattr(losses, "shape", None) != (2,):
            raise BadInput(f"losses must give one loss per example: expected shape (2,) for two examples, got {losses}")
        if not jnp.issubdtype(losses.dtype, jnp.floating):
            raise BadInput(f"losses must be floating-point numbers, which have a derivative, got {losses.dtype}")
        if self.kind is not None and hasattr(self.losses, "predict"):
            outputs = jax.eval_shape(self.outputs, params, self.data[np.zeros(2, np.int32)].x)
            check_shapes(self.kind, outputs.shape[1:], self.data.y.shape[1:])
            self._check_labels(self.data, "the data")


_CHANGED = "the inputs that stay on the host are those of training, and nobody wrote over them"
_FROZEN = "the frozen parameters hold nothing of the forgotten examples"


def _array(leaf: Any) -> bool:
    return hasattr(leaf, "shape")


def _as(array: Any, like: Any) -> Any:
    return rowwise(lambda leaf: leaf if isinstance(leaf, OnHost) else jnp.asarray(leaf, like.dtype), array)


def _like(mine: Any, its: Any, part: str, name: str) -> None:
    """Raises BadInput unless one row of `its` is like one row of `mine`."""
    if mine.shape[1:] != np.shape(its)[1:]:
        raise BadInput(
            f"one example of {name} has {part} of shape {list(np.shape(its)[1:])}, but one of the training data "
            f"{list(mine.shape[1:])}"
        )
    if jnp.issubdtype(mine.dtype, jnp.integer) and jnp.issubdtype(its.dtype, jnp.floating):
        raise BadInput(f"{part} of {name} is {its.dtype}, but that of the training data {mine.dtype}")
    if mine.dtype == its.dtype or isinstance(its, OnHost):
        return
    values = np.asarray(its)
    with np.errstate(all="ignore"):
        cast = values.astype(mine.dtype)
    whole = mine.dtype == bool or jnp.issubdtype(mine.dtype, jnp.integer)
    if not ((cast == values).all() if whole else np.isfinite(np.asarray(cast, np.float64)).all()):
        raise BadInput(
            f"{part} of {name} holds {values.dtype} numbers that {mine.dtype}, the type of the training data, cannot "
            "hold; train on data of a wider type"
        )
