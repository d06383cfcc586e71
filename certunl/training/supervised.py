"""Problems of a model and an output loss: classification, binary, multilabel, regression, and any other."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key
from certunl.errors import BadInput, nonnegative, warn
from certunl.training.adapters import check_model
from certunl.training.dataset import Dataset, check_data, placed
from certunl.training.losses import bit_loss, bits_loss, sequence_loss, softmax_loss, squared_loss
from certunl.training.modules import Initializer, Supervised, hashable, said
from certunl.training.problem import Problem
from certunl.training.scores import check_shapes

__all__ = ["binary", "classes", "classification", "multilabel", "regression", "sequence", "supervised", "wrong_labels"]


def supervised(
    model: Any,
    data: Dataset,
    output_loss: Any,
    *,
    kind: str | None = None,
    l2: float = 0.0,
    randomness: int | None = None,
) -> Problem:
    """The problem with losses l_i = output_loss(model(x_i), y_i) + (l2/2) ‖all parameters‖².

    Args:
        model: has Flax linen's `init(key, x)` and `apply(variables, x)`: any linen module without mutable state, an
            NNX module in `models.NNX` or an Equinox module in `models.Equinox`. x is one batch of `data.x`, an array or
            a tree of arrays. If the module takes `train`, `training` or `deterministic`, the problem sets it.
        data: the training data.
        output_loss: `output_loss(outputs, targets) -> f[b]`, one loss per example.
        kind: what the outputs mean: "classification", "binary", "multilabel", "regression" or "sequence". None: nothing
            but losses is reported.
        l2: coefficient of the regulariser inside each example's loss; 0 has none.
        randomness: the seed of dropout and other randomness of the model in training, see `Problem`. None trains
            without it.

    Raises: BadInput for data, a model or losses that do not fit together, and for models with mutable state.
    """
    check_model(model)
    check_data(data)
    if not isinstance(output_loss, Callable):
        raise BadInput(f"output_loss must be a function f(outputs, targets) -> f[b], got {type(output_loss).__name__}")
    nonnegative(l2=l2)
    model = hashable(model)
    data = replace(placed(data), owners=data.owners)
    init, losses = Initializer.of(model, data.x), Supervised(model, output_loss, l2)
    problem = Problem(init=init, losses=losses, data=data, kind=kind, randomness=randomness)
    check_shapes(kind, _outputs(problem), data.y.shape[1:])
    problem.admit(data, "the data")
    problem.check(jax.eval_shape(init, jax.random.key(0)))
    if randomness is not None:
        _warn_of_no_randomness(problem)
    return problem


def _warn_of_no_randomness(problem: Problem) -> None:
    """Warns if the outputs in training are those of prediction, so that `randomness` has no effect."""
    losses: Any = problem.losses
    params, batch = problem.init(jax.random.key(0)), problem.batch(jnp.zeros(1, jnp.int32), jnp.asarray(0))
    if bool(jnp.array_equal(losses.random(params, batch.x, batch.keys), losses.predict(params, batch.x))):
        warn(
            "randomness is set, but the model's outputs in training are those of prediction: it has no dropout "
            "that its argument train, training or deterministic turns on"
        )


def _outputs(problem: Problem) -> tuple[int, ...]:
    """The shape of one example's output. Raises: BadInput if the model does not take the inputs."""
    losses: Any = problem.losses
    batch = problem.data[np.zeros(1, int)]
    try:
        outputs = jax.eval_shape(lambda key: losses.predict(problem.init(key), batch.x), jax.random.key(0))
    except BadInput:
        raise
    except Exception as error:  # a model's settings can be wrong in any way
        shapes = ", ".join(str(list(leaf.shape[1:])) for leaf in jax.tree.leaves(batch.x))
        raise BadInput(f"the model cannot be built for inputs of shape {shapes} ({said(error)})") from error
    if not hasattr(outputs, "shape"):
        raise BadInput(f"the model must give one array of outputs, got {type(outputs).__name__}")
    return outputs.shape[1:]


def classification(model: Any, data: Dataset, *, l2: float = 0.0, randomness: int | None = None) -> Problem:
    """The problem with losses l_i = -log softmax(model(x_i))[y_i] + (l2/2) ‖all parameters‖².

    Args:
        model: gives one logit per class, see `supervised`.
        data: the training data; `data.y` are classes 0 .. c-1.
        l2: coefficient of the regulariser inside each example's loss; 0 has none.
        randomness: the seed of dropout and other randomness of the model in training. None trains without it.

    Raises: BadInput for labels that do not fit the model, and for models with mutable state.
    """
    check_data(data)
    labels = np.asarray(data.y)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise BadInput(f"labels must be integers of shape [n], got {labels.dtype}{list(labels.shape)}; {_cure(labels)}")
    problem = supervised(model, data, softmax_loss, l2=l2, randomness=randomness)
    shape = _outputs(problem)
    low, high = labels.min(initial=0), labels.max(initial=0)
    if len(shape) != 1 or low < 0 or high >= shape[0]:
        raise BadInput(
            f"labels run from {low} to {high} but the model gives outputs of shape {list(shape)} per example; "
            "it must give one logit per class"
        )
    y = jnp.asarray(labels.astype(np.int32))
    return replace(problem, kind="classification", data=replace(problem.data, y=y))


def _cure(labels: np.ndarray) -> str:
    """What makes `labels` classes, if they look like some."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        return "take the column, y[:, 0]"
    if labels.ndim == 2 and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():
        return "take the class of each row, y.argmax(axis=1)"
    if labels.ndim == 1 and (labels.dtype == bool or (labels == np.rint(labels)).all()):
        return "write y.astype(int), or use binary(...) or regression(...)"
    return "for numbers to predict use regression(...), for several bits multilabel(...)"


def binary(model: Any, data: Dataset, *, l2: float = 0.0, randomness: int | None = None) -> Problem:
    """The problem with losses l_i = −log sigmoid((2 y_i − 1) model(x_i)) + (l2/2) ‖all parameters‖².

    Args:
        model: gives one logit per example, of shape [b] or [b, 1]; see `supervised`.
        data: the training data; `data.y` are 0 or 1, of shape [n] or [n, 1].
        l2: coefficient of the regulariser inside each example's loss; 0 has none.
        randomness: the seed of dropout and other randomness of the model in training. None trains without it.

    Raises: BadInput for labels other than 0 and 1, for models with more outputs and for models with mutable state.
    """
    return supervised(model, _bits(data), bit_loss, kind="binary", l2=l2, randomness=randomness)


def multilabel(model: Any, data: Dataset, *, l2: float = 0.0, randomness: int | None = None) -> Problem:
    """The problem with losses l_i = sum_j −log sigmoid((2 y_ij − 1) model(x_i)_j) + (l2/2) ‖all parameters‖².

    Args:
        model: gives one logit per label, see `supervised`.
        data: the training data; `data.y` are 0 or 1, of shape [n, c].
        l2: coefficient of the regulariser inside each example's loss; 0 has none.
        randomness: the seed of dropout and other randomness of the model in training. None trains without it.

    Raises: BadInput for labels that do not fit the model, and for models with mutable state.
    """
    return supervised(model, _bits(data), bits_loss, kind="multilabel", l2=l2, randomness=randomness)


def sequence(model: Any, data: Dataset, *, l2: float = 0.0, randomness: int | None = None) -> Problem:
    """The problem with losses l_i = mean over t of −log softmax(model(x_i)_t)[y_it] + (l2/2) ‖all parameters‖².

    Args:
        model: gives one logit per class at each place t, see `supervised`.
        data: the training data; `data.y` are classes i32[n, t]. A place with a label below 0 does not count.
        l2: coefficient of the regulariser inside each example's loss; 0 has none.
        randomness: the seed of dropout and other randomness of the model in training. None trains without it.

    Raises: BadInput for labels that do not fit the model, and for models with mutable state.
    """
    return supervised(model, data, sequence_loss, kind="sequence", l2=l2, randomness=randomness)


def _bits(data: Dataset) -> Dataset:
    check_data(data)
    y = np.asarray(data.y)
    return replace(data, y=y.astype(np.int32)) if y.dtype == bool or np.isin(y, (0, 1)).all() else data


def regression(model: Any, data: Dataset, *, l2: float = 0.0, randomness: int | None = None) -> Problem:
    """The problem with losses l_i = ‖model(x_i) - y_i‖²/2 + (l2/2) ‖all parameters‖².

    Args:
        model: has Flax linen's `init(key, x)` and `apply(variables, x)`, as for `supervised`.
        data: the training data; `data.y` has the shape of the model's outputs, or f[n] for a single output. Whole
            numbers are numbers like others.
        l2: coefficient of the regulariser inside each example's loss; 0 has none.
        randomness: the seed of dropout and other randomness of the model in training. None trains without it.

    Raises: BadInput for targets that do not fit the model, and for models with mutable state.
    """
    check_data(data)
    if not jnp.issubdtype(data.y.dtype, jnp.floating):
        data = replace(data, y=np.asarray(data.y, np.float64 if jax.config.read("jax_enable_x64") else np.float32))
    return supervised(model, data, squared_loss, kind="regression", l2=l2, randomness=randomness)


def classes(problem: Problem, what: str) -> int:
    """The number of classes of a classification problem. `what` names the caller in the error.

    Raises: BadInput if the problem is no classification, or its losses have no `predict`.
    """
    count = problem.classes() if problem.kind == "classification" else None
    if count is None:
        raise BadInput(f"{what} needs a classification problem, with whole-number labels and one output per class")
    return count


def wrong_labels(key: Key, labels: jax.Array, classes: int) -> jax.Array:
    """i32[k]: for each label, one of the other classes in 0 .. classes − 1, drawn uniformly."""
    shifts = jax.random.randint(key, labels.shape, 1, classes, labels.dtype)
    return (labels + shifts) % classes
