"""Types that every module uses (parameters, keys, operators, progress), and the layout and digest of parameters."""

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
    "Key",
    "Operator",
    "Params",
    "Progress",
    "SampledOperator",
    "digest",
    "named",
    "nbytes",
    "nth",
    "outputs_first",
    "outputs_last",
    "plain",
    "platform",
    "reporter",
    "sized",
    "stacked",
    "vector",
    "width",
]


Params = Any
"""A pytree of floating-point arrays."""

Key = jax.Array
"""A typed key of `jax.random.key`."""

Operator = Callable[[Params, Key], Params]
"""(v, key) -> A v or an unbiased estimate of it. A deterministic operator ignores its key."""


@dataclass(frozen=True)
class SampledOperator:
    """An `Operator` in two parts, so that a recursion draws the samples of many steps before the first of them.

    Args:
        draw: key -> sample, small arrays such as the indices of a mini-batch.
        at: (v, sample) -> A v on that sample.
    """

    draw: Callable[[Key], Any]
    at: Callable[[Params, Any], Params]

    def __call__(self, v: Params, key: Key) -> Params:
        return self.at(v, self.draw(key))

    @classmethod
    def of(cls, operator: Operator) -> "SampledOperator":
        """`operator` in two parts. If it is not in two parts, its sample is the key."""
        return operator if isinstance(operator, cls) else cls(lambda key: key, operator)


Progress = Callable[..., None]
"""(done, total) -> None or (done, total, loss) -> None, called on the host during long work.

Training reports the loss of the last batch to a callable with a third parameter. Other work reports NaN.
"""


def reporter(progress: Progress) -> Callable[..., None]:
    """(done, total, loss = NaN) -> None, which passes the loss on to a `progress` with a third parameter."""
    try:
        parameters = inspect.signature(progress).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature
        parameters = ()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]

    def report(done: int, total: int, loss: float = math.nan) -> None:
        progress(done, total, *((loss,) if len(positional) > 2 else ()))

    return report


def platform() -> str:
    """The platform that the program being traced is for, "cpu", "gpu" or "tpu"; not always the one that compiles it."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    if device is not None:
        return device.platform
    settings: Any = jax.config
    default = settings.jax_default_device
    return jax.default_backend() if default is None else getattr(default, "platform", str(default).split(":")[0])


def named(tree: Params) -> dict[str, Any]:
    """The leaves of a pytree by name, such as "Dense_0/kernel".

    >>> named({"Dense_0": {"kernel": 1.0, "bias": 2.0}})
    {'Dense_0/bias': 2.0, 'Dense_0/kernel': 1.0}
    """
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def width(like: Params) -> int:
    """d, the number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(like))


def sized(like: Params) -> str:
    """d in words, also of a tree whose leaves are not arrays.

    >>> sized({"kernel": np.zeros((30, 50)), "bias": np.zeros(50)})
    '1,550 parameters'
    """
    return f"{sum(getattr(leaf, 'size', 1) for leaf in jax.tree.leaves(like)):,} parameters"


def nbytes(like: Params) -> int:
    """The size of the parameters in bytes."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(like))


def vector(tree: Params) -> np.ndarray:
    """f64[d]: the parameters of a model, leaf after leaf."""
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


def stacked(models: Sequence[Params]) -> Params:
    """One pytree with a leading axis for the models, which must have the same structure and shapes."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *models)


def nth(models: Params, i: int) -> Params:
    """Model `i` of `stacked` models."""
    return jax.tree.map(lambda leaf: leaf[i], models)


def outputs_first(leaf: jax.Array, axis: int = 0) -> jax.Array:
    """`leaf` with its last axis moved to `axis`. In that order, products of many models with one batch need no copy."""
    return leaf if leaf.ndim - axis < 2 else jnp.moveaxis(leaf, -1, axis)


def outputs_last(leaf: jax.Array, axis: int = 0) -> jax.Array:
    """The inverse of `outputs_first`."""
    return leaf if leaf.ndim - axis < 2 else jnp.moveaxis(leaf, axis, -1)


def digest(settings: Any, arrays: Params) -> str:
    """sha256 of `settings` as JSON and of the dtype, shape and bytes of every array, in hexadecimal."""
    sha256 = hashlib.sha256(json.dumps(settings, sort_keys=True, default=plain).encode())
    # arrays that stay on the host have no leaf of their own
    for leaf in jax.tree.leaves(arrays, is_leaf=lambda leaf: hasattr(leaf, "__array__")):
        array = np.ascontiguousarray(leaf)
        sha256.update(f"{array.dtype}{array.shape}".encode())
        sha256.update(array.reshape(-1).view(np.uint8).data)  # bfloat16 has no buffer of its own
    return sha256.hexdigest()


def plain(value: Any) -> Any:
    """A NumPy or JAX value as Python lists and numbers, for JSON. Raises: TypeError for any other value."""
    if isinstance(value, np.ndarray | jax.Array | np.generic):
        return np.asarray(value).tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
