"""Equinox modules as models."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from certunl.base import Key, Params
from certunl.errors import BadInput

__all__ = ["Equinox"]


@dataclass(frozen=True)
class Equinox:
    """An Equinox module as a model. Its parameters are its floating-point JAX arrays, as nested dictionaries.

    An Equinox module reads one example. `apply` calls it on each example of a batch. The rest of the module, such as
    activations and NumPy arrays, is static and is built anew with `build`.

    Args:
        build: the function from a key to the module.

    Raises: BadInput, in `init`, if `build` gives no Equinox module or if the module has JAX arrays of whole numbers,
    because nothing that is said about parameters covers them. They may be NumPy arrays.

    >>> import equinox
    >>> model = Equinox(lambda key: equinox.nn.Linear(3, 2, key=key))
    >>> sorted(model.init(jax.random.key(0), None)["params"])
    ['bias', 'weight']
    """

    build: Callable[[Any], Any]

    @property
    def module_type(self) -> type:
        """The class of the module."""
        kinds: list[type] = []
        jax.eval_shape(lambda key: kinds.append(type(self.build(key))), jax.random.key(0))
        return kinds[0]

    def init(self, key: Key, x: Any, **kwargs: Any) -> dict[str, Params]:
        """The parameters under "params". They do not depend on `x` and `kwargs`."""
        import equinox

        module = self.build(key)
        if not isinstance(module, equinox.Module):
            raise BadInput(f"Equinox needs a function from a key to an equinox.Module, got a {type(module).__name__}")
        leaves = jax.tree.leaves(module)
        if others := sorted({str(a.dtype) for a in leaves if isinstance(a, jax.Array) and not _is_parameter(a)}):
            raise BadInput(
                f"the Equinox module has arrays besides its parameters ({', '.join(others)}), which no statement about "
                "parameters covers; keep constants as NumPy arrays, and use stateless layers"
            )
        return {"params": _nested(module)}

    def apply(
        self, variables: dict[str, Params], x: Any, *, rngs: dict[str, Key] | None = None, **kwargs: Any
    ) -> jax.Array:
        """The outputs f[b, ...]. The module is called with `kwargs` for each example.

        With `rngs`, the module is in training and gets rngs["dropout"] as `key`, if it takes a key. Every example of
        the batch gets the same one. Without them, the module is in inference mode, where dropout is off.
        """
        import equinox

        module = jax.tree_util.tree_map_with_path(
            lambda path, leaf: _at(variables["params"], path) if _is_parameter(leaf) else leaf, _structure(self.build)
        )
        if rngs is None:
            module = equinox.nn.inference_mode(module)
        elif "key" in inspect.signature(type(module).__call__).parameters:
            kwargs["key"] = rngs["dropout"]
        return jax.vmap(lambda one: module(one, **kwargs))(x)


def _structure(build: Callable[[Any], Any]) -> Any:
    """The module with shapes in place of its JAX arrays. Its weights are not computed; NumPy arrays stay constants."""
    rest = []

    def shapes(key: Key) -> Any:
        leaves, structure = jax.tree.flatten(build(key))
        rest.append((structure, [None if isinstance(leaf, jax.Array) else leaf for leaf in leaves]))
        return [leaf if isinstance(leaf, jax.Array) else None for leaf in leaves]

    arrays = jax.eval_shape(shapes, jax.random.key(0))
    structure, others = rest[0]
    return jax.tree.unflatten(structure, [b if a is None else a for a, b in zip(arrays, others, strict=True)])


def _is_parameter(leaf: Any) -> bool:
    arrays = (jax.Array, jax.ShapeDtypeStruct)
    return isinstance(leaf, arrays) and jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact)


def _names(path: Any) -> list[str]:
    """The names of attributes, entries and places that lead to a leaf, such as ["layers", "0", "weight"]."""
    return [jax.tree_util.keystr((step,), simple=True) for step in path]


def _nested(module: Any) -> Params:
    """The parameters of a module as nested dictionaries."""
    params: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(module)[0]:
        if _is_parameter(leaf):
            *outer, last = _names(path)
            inner = params
            for name in outer:
                inner = inner.setdefault(name, {})
            inner[last] = leaf
    return params


def _at(params: Params, path: Any) -> Any:
    for name in _names(path):
        params = params[name]
    return params
