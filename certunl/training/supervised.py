"""Problems of a model and an output loss: classification and regression."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from certunl.base import Key, Params
from certunl.errors import BadInput, nonnegative
from certunl.training.problem import Dataset, Problem

__all__ = [
    "Initializer",
    "Supervised",
    "classes",
    "classification",
    "hashable",
    "regression",
    "said",
    "softmax_loss",
    "squared_loss",
    "wrong_labels",
]


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
class Initializer:
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


def hashable(model: Any) -> Any:
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


def said(error: Exception) -> str:
    """What an error of somebody else's code says, in one line."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def _supervised(model: Any, data: Dataset, output_loss: Any, l2: float) -> tuple[Problem, tuple[int, ...]]:
    """The problem, and the shape of one example's output."""
    nonnegative(l2=l2)
    data.check()
    x, model = jnp.asarray(data.x), hashable(model)
    init = Initializer(model, x.shape[1:], str(x.dtype))
    losses = Supervised(model, output_loss, l2)
    try:
        outputs = jax.eval_shape(lambda key: losses.predict(init(key), x[:1]), jax.random.key(0))
    except BadInput:
        raise
    except Exception as error:  # a model's settings can be wrong in any way
        raise BadInput(f"the model cannot be built for inputs of shape {list(x.shape[1:])} ({said(error)})") from error
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


def classes(problem: Problem, params: Params, what: str) -> int:
    """The number of classes that a model tells apart: its outputs for one example.

    Raises: BadInput, `what` being what they are wanted for, where the problem is no classification.
    """
    data, predict = problem.data, getattr(problem.losses, "predict", None)
    outputs = () if predict is None else jax.eval_shape(predict, params, data.x[:1]).shape
    if not (jnp.issubdtype(data.y.dtype, jnp.integer) and data.y.ndim == 1 and len(outputs) == 2 and outputs[1] > 1):
        raise BadInput(f"{what} needs a classification: whole-number labels, and one output per class")
    return outputs[1]


def wrong_labels(key: Key, labels: jax.Array, classes: int) -> jax.Array:
    """i32[k]: for each label, another of the classes 0 .. classes − 1, drawn uniformly."""
    shifts = jax.random.randint(key, labels.shape, 1, classes, labels.dtype)
    return (labels + shifts) % classes
