"""A module as the initializer and the losses of a problem."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from certunl.base import Key, Params
from certunl.errors import BadInput, nonnegative, plain_numbers
from certunl.training.dataset import Dataset

__all__ = ["Initializer", "Supervised", "hashable", "mode", "module_class", "said"]


@dataclass(frozen=True)
class Supervised:
    """l_i = output_loss(predict(params, x_i), y_i) + (l2/2) ‖params‖², the form that Gauss-Newton needs.

    Args:
        model: has Flax linen's `apply({"params": params}, x) -> outputs`.
        output_loss: `output_loss(outputs, targets) -> f[b]`, one loss per example.
        l2: coefficient of the regulariser inside each example's loss; 0 has none.
    """

    model: Any
    output_loss: Callable[[jax.Array, jax.Array], jax.Array]
    l2: float = 0.0

    def __post_init__(self) -> None:
        plain_numbers(self)
        nonnegative(l2=self.l2)

    def predict(self, params: Params, x: Any) -> jax.Array:
        """The model's outputs f[b, ...] for the inputs `x`, without randomness."""
        return self.model.apply({"params": params}, x, **mode(self.model, train=False))

    def random(self, params: Params, x: Any, keys: Key) -> jax.Array:
        """The model's outputs in training, where the randomness of example i comes from `keys[i]` alone."""

        def one(x: Any, key: Key) -> jax.Array:
            alone = jax.tree.map(lambda leaf: leaf[None], x)
            rngs = {"params": key, "dropout": key}
            return self.model.apply({"params": params}, alone, rngs=rngs, **mode(self.model, train=True))[0]

        return jax.vmap(one)(x, keys)

    def __call__(self, params: Params, batch: Dataset) -> jax.Array:
        random = batch.keys is not None
        outputs = self.random(params, batch.x, batch.keys) if random else self.predict(params, batch.x)
        losses = self.output_loss(outputs, batch.y)
        return losses + 0.5 * self.l2 * optax.tree.norm(params, squared=True) if self.l2 else losses


@dataclass(frozen=True)
class Initializer:
    """key -> initial parameters of the model for inputs of one structure, with one shape and dtype for each array.

    Args:
        model: has Flax linen's `init(key, x)`.
        shapes: the shape of one input, for every array of the inputs.
        dtypes: the names of the arrays' dtypes.
        structure: the structure of the inputs. None: they are a single array.
    """

    model: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    structure: Any = None

    @classmethod
    def of(cls, model: Any, x: Any) -> "Initializer":
        """That for inputs like `x`, an array or a tree of arrays with one row per example."""
        leaves, structure = jax.tree.flatten(x, is_leaf=lambda leaf: hasattr(leaf, "shape"))
        shapes = tuple(tuple(leaf.shape[1:]) for leaf in leaves)
        dtypes = tuple(str(jax.dtypes.canonicalize_dtype(leaf.dtype)) for leaf in leaves)
        return cls(model, shapes, dtypes, None if jax.tree_util.treedef_is_leaf(structure) else structure)

    def __call__(self, key: Key) -> Params:
        zeros = [jnp.zeros((1, *shape), dtype) for shape, dtype in zip(self.shapes, self.dtypes, strict=True)]
        x = zeros[0] if self.structure is None else jax.tree.unflatten(self.structure, zeros)
        variables = self.model.init(key, x, **mode(self.model, train=False))
        if extra := sorted(set(variables) - {"params"}):
            raise BadInput(
                f"{module_class(self.model).__name__} keeps mutable state ({', '.join(extra)}), and no statement "
                "about its parameters covers that state; use a stateless layer such as GroupNorm instead of BatchNorm, "
                "or freeze the statistics with models.Frozen(module, statistics)"
            )
        return variables["params"]


_TRAINING = {"train": True, "training": True, "deterministic": False}
"""Usual names of a module's argument that says whether it trains, with the value in training."""


def mode(model: Any, *, train: bool) -> dict[str, bool]:
    """The argument with which `model` trains or predicts: `train`, `training` or `deterministic`, if it takes one."""
    call = inspect.getattr_static(module_class(model), "__call__", None)
    names = inspect.signature(call).parameters if inspect.isfunction(call) else ()
    return {name: value == train for name, value in _TRAINING.items() if name in names}


def module_class(model: Any) -> type:
    """The class of the user's module: that of `model`, or the `module_type` of an adapter."""
    adapted = inspect.getattr_static(type(model), "module_type", None)
    return type(model) if adapted is None else model.module_type


class _ByIdentity:
    """A wrapper of an unhashable model (a linen module with a list among its fields). It is compared by identity."""

    def __init__(self, model: Any):
        self.init, self.apply = model.init, model.apply
        self.unchecked = getattr(model, "unchecked", ())
        self._kind = module_class(model)

    @property
    def module_type(self) -> type:
        return self._kind


def hashable(model: Any) -> Any:
    """`model` if it can be hashed, as jit's static arguments must be; otherwise a wrapper compared by identity."""
    try:
        hash(model)
    except TypeError:
        return _ByIdentity(model)
    return model


_HINTS = {
    "InvalidRngError": "; a module with dropout needs randomness=SEED and an argument train, training or deterministic",
    "jnp.pad: pad_width": "; convolutions need inputs of the shape [n, height, width, channels], such as x[..., None]",
}


def said(error: Exception) -> str:
    """The type and first line of an error that other code raised."""
    text = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return text + "".join(hint for word, hint in _HINTS.items() if word in text)
