"""Flax NNX modules as models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from certunl.base import Key, Params
from certunl.errors import BadInput

__all__ = ["NNX"]


@dataclass(frozen=True)
class NNX:
    """An NNX module as a model. Its parameters are the `nnx.Param` of the module, as nested dictionaries.

    Args:
        build: the function from `flax.nnx.Rngs` to the module.

    Raises: BadInput, in `init`, if `build` gives no NNX module, or if the module has any other state than the random
    streams of dropout, such as batch statistics.

    >>> from flax import nnx
    >>> model = NNX(lambda rngs: nnx.Linear(3, 2, rngs=rngs))
    >>> sorted(model.init(jax.random.key(0), None)["params"])
    ['bias', 'kernel']
    """

    build: Callable[[Any], Any]

    @property
    def module_type(self) -> type:
        """The class of the module."""
        from flax import nnx

        kinds: list[type] = []
        nnx.eval_shape(lambda: kinds.append(type(self.build(nnx.Rngs(0)))))
        return kinds[0]

    def init(self, key: Key, x: Any, **kwargs: Any) -> dict[str, Params]:
        """The parameters under "params". They do not depend on `x` and `kwargs`."""
        from flax import nnx

        module = self.build(nnx.Rngs(key))
        if not isinstance(module, nnx.Module):
            raise BadInput(f"NNX needs a function from nnx.Rngs to a flax.nnx.Module, got a {type(module).__name__}")
        _, params, _, rest = nnx.split(module, nnx.Param, nnx.RngState, ...)
        if rest:
            kinds = sorted({type(leaf).__name__ for _, leaf in nnx.to_flat_state(rest)})
            raise BadInput(
                f"the NNX module has state besides its parameters ({', '.join(kinds)}), which no statement about "
                "parameters covers; use stateless layers (GroupNorm instead of BatchNorm)"
            )
        return {"params": _worded(nnx.to_pure_dict(params))}

    def apply(
        self, variables: dict[str, Params], x: Any, *, rngs: dict[str, Key] | None = None, **kwargs: Any
    ) -> jax.Array:
        """The outputs f[b, ...]. The module is called with `kwargs`.

        `rngs` are keys by the names of their streams. With them, the module is in training, and every stream of it
        begins anew. Without them, dropout is off.
        """
        from flax import nnx

        graph, params, random = _structure(self.build)
        nnx.replace_by_pure_dict(params, variables["params"])
        keys = {"default": jax.random.key(0)} if rngs is None else rngs
        module = nnx.merge(graph, params, _streams(random, keys))
        module.eval() if rngs is None else module.train()
        return module(x, **kwargs)


def _worded(tree: Any) -> Any:
    """The tree with words for keys, also for places in a list: files keep no others."""
    return {str(key): _worded(value) for key, value in tree.items()} if isinstance(tree, dict) else tree


def _structure(build: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
    """(graph, abstract parameters, abstract streams) of the module; its weights are not computed."""
    from flax import nnx

    abstract = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    graph, params, random = nnx.split(abstract, nnx.Param, nnx.RngState)
    return graph, params, random


def _streams(abstract: Any, keys: dict[str, Key]) -> Any:
    """The state of streams whose keys come from those of their names, or else from the first key."""
    from flax import nnx

    first = next(iter(keys.values()))
    values = {}
    for place, (path, leaf) in enumerate(nnx.to_flat_state(abstract)):
        key = keys.get(leaf.tag, first)
        new = (
            jax.random.fold_in(key, place) if isinstance(leaf, nnx.RngKey) else jax.numpy.zeros(leaf.shape, leaf.dtype)
        )
        values[path] = leaf.replace(new)
    return nnx.from_flat_state(values)
