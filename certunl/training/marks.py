"""Digests of arrays, computed once for those that nobody else can write to."""

import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from certunl.base import digest

__all__ = ["marks", "owned", "taken"]

_KNOWN: dict[int, tuple[Any, str]] = {}
"""Digests of arrays of this library's own that are alive, by their id. So data are not read again for each request."""


def owned(tree: Any) -> Any:
    """`tree`, whose arrays this library has computed or copied. Nobody else can write to them."""
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array) and not isinstance(leaf, Tracer) and not _known(leaf):
            place = id(leaf)
            _KNOWN[place] = weakref.ref(leaf, lambda _, place=place: _KNOWN.pop(place, None)), ""
    return tree


def taken(tree: Any) -> Any:
    """`tree` as arrays of JAX. Those of NumPy are copied and `owned`."""

    def one(leaf: Any) -> Any:
        return owned(jnp.array(leaf)) if isinstance(leaf, np.ndarray) else jnp.asarray(leaf)

    return jax.tree.map(one, tree)


def _known(leaf: Any) -> bool:
    return id(leaf) in _KNOWN and _KNOWN[id(leaf)][0]() is leaf


def marks(tree: Any) -> list[str]:
    """The digest of each leaf."""
    return [_mark(leaf) for leaf in jax.tree.leaves(tree)]


def _mark(leaf: Any) -> str:
    if not _known(leaf):  # NumPy may write over its own arrays, and over what `jax.device_put` makes of them
        return digest(None, [leaf])
    reference, text = _KNOWN[id(leaf)]
    text = text or digest(None, [leaf])
    _KNOWN[id(leaf)] = reference, text
    return text
