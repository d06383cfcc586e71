"""What is learnt: data, initial parameters, and the one objective `losses(params, batch) -> f[b]`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from certunl.typing import BadInput, Key, Params, Scores

__all__ = ["Dataset", "Problem", "Supervised", "classification", "regression"]


@struct.dataclass
class Dataset:
    """Examples `x f[n, ...]`, targets `y` (classes `i32[n]` or values `f[n, ...]`), `owners i32[n]` or None.

    `data[indices]` is again a Dataset; a batch is one.
    """

    x: Any
    y: Any
    owners: Any = None

    def __post_init__(self) -> None:
        for name, held in vars(self).items():
            if isinstance(held, list | tuple):
                object.__setattr__(self, name, np.asarray(held))

    def __len__(self) -> int:
        return self.y.shape[0]

    def __getitem__(self, indices: Any) -> "Dataset":
        return jax.tree.map(lambda array: array[indices], self)

    def check(self) -> None:
        """Raises BadInput where lengths disagree or a number is not finite."""
        lengths = {name: np.shape(a)[:1] for name, a in vars(self).items() if a is not None}
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
        """Loss of each example of `data`, and whether its largest output is its class; in microbatches, compiled."""
        return _scores(self.losses, params, data)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What the model says no statement about its parameters covers; named on every certificate."""
        return getattr(getattr(self.losses, "model", None), "unchecked", ())

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
            correct = None if predict is None else jnp.argmax(predict(params, batch.x), axis=-1) == batch.y
            return Scores(losses(params, batch), correct)

    return jax.tree.map(lambda a: a.reshape(-1)[:n], jax.lax.map(score, slots))


@dataclass(frozen=True)
class Supervised:
    """l_i = output_loss(predict(params, x_i), y_i) + (l2/2) ‖params‖², the shape Gauss-Newton needs."""

    model: Any
    output_loss: Callable[[jax.Array, jax.Array], jax.Array]
    l2: float = 0.0

    def predict(self, params: Params, x: jax.Array) -> jax.Array:
        return self.model.apply({"params": params}, x)

    def __call__(self, params: Params, batch: Dataset) -> jax.Array:
        losses = self.output_loss(self.predict(params, batch.x), batch.y)
        return losses + 0.5 * self.l2 * optax.tree.norm(params, squared=True) if self.l2 else losses


@dataclass(frozen=True)
class _Initializer:
    """key -> the model's parameters for inputs of one shape and dtype."""

    model: Any
    shape: tuple[int, ...]
    dtype: str

    def __call__(self, key: Key) -> Params:
        variables = self.model.init(key, jnp.zeros((1, *self.shape), self.dtype))
        if extra := sorted(set(variables) - {"params"}):
            raise BadInput(
                f"{type(self.model).__name__} keeps mutable state ({', '.join(extra)}), which no statement about its "
                "parameters covers; use a stateless layer such as GroupNorm instead of BatchNorm, or freeze its "
                "statistics: models.Frozen(module, statistics)"
            )
        return variables["params"]


class _ByIdentity:
    """A model that cannot be hashed (a linen module with a list among its fields), compared by identity instead."""

    def __init__(self, model: Any):
        self.init, self.apply = model.init, model.apply
        self.unchecked = getattr(model, "unchecked", ())


def _hashable(model: Any) -> Any:
    try:
        hash(model)
    except TypeError:
        return _ByIdentity(model)
    return model


def softmax_loss(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """-log softmax(outputs_i)[label_i]; the label chosen by a product: the derivative of indexing is a slow scatter."""
    chosen = jax.nn.one_hot(labels, outputs.shape[-1], dtype=outputs.dtype)
    return jax.nn.logsumexp(outputs, axis=-1) - jnp.sum(outputs * chosen, axis=-1)


def squared_loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """‖outputs_i − targets_i‖²/2."""
    return 0.5 * jnp.sum((outputs - targets.reshape(outputs.shape)) ** 2, axis=tuple(range(1, outputs.ndim)))


def _supervised(model: Any, data: Dataset, output_loss: Any, l2: float) -> tuple[Problem, tuple[int, ...]]:
    """The problem, and the shape of one example's output."""
    if not (isinstance(l2, Real) and 0 <= float(l2) < np.inf):
        raise BadInput(f"l2 must be a number of at least 0, got {l2!r}")
    data.check()
    x, model = jnp.asarray(data.x), _hashable(model)
    init = _Initializer(model, x.shape[1:], str(x.dtype))
    losses = Supervised(model, output_loss, l2)
    try:
        outputs = jax.eval_shape(lambda key: losses.predict(init(key), x[:1]), jax.random.key(0))
    except BadInput:
        raise
    except Exception as error:  # a model's settings can be wrong in any way
        what = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise BadInput(f"the model cannot be built for inputs of shape {list(x.shape[1:])} ({what})") from error
    data = jax.tree.map(jnp.asarray, data)
    return Problem(init=init, losses=losses, data=data), outputs.shape[1:]


def classification(model: Any, data: Dataset, *, l2: float = 0.0) -> Problem:
    """l_i = -log softmax(model(x_i))[y_i] + (l2/2) ‖all parameters‖².

    `model` has Flax linen's `init(key, x)` and `apply(variables, x)` (any linen module without mutable state,
    `models.NNX` for an NNX one) and gives one logit per class; `data.y` are classes 0 .. c-1.

    Raises: BadInput for labels that do not fit the model, and for models with mutable state.
    """
    labels = np.asarray(data.y)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise BadInput(f"labels must be integers of shape [n], got {labels.dtype}{list(labels.shape)}")
    data = replace(data, y=labels.astype(np.int32))
    problem, shape = _supervised(model, data, softmax_loss, l2)
    low, high = labels.min(initial=0), labels.max(initial=0)
    if len(shape) != 1 or low < 0 or high >= shape[0]:
        raise BadInput(
            f"labels run from {low} to {high} but the model gives outputs of shape {list(shape)} per example; "
            "it must give one logit per class"
        )
    return problem


def regression(model: Any, data: Dataset, *, l2: float = 0.0) -> Problem:
    """l_i = ‖model(x_i) - y_i‖²/2 + (l2/2) ‖all parameters‖²; `data.y` has the outputs' shape (or f[n] for one)."""
    problem, shape = _supervised(model, data, squared_loss, l2)
    if np.prod(shape) != np.prod(np.shape(data.y)[1:]):
        raise BadInput(f"targets of shape {list(np.shape(data.y)[1:])} do not fit outputs of shape {list(shape)}")
    return problem
