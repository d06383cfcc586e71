"""The door for Flax NNX modules."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from certunl.base import Key, Params
from certunl.errors import BadInput

__all__ = ["NNX"]


@dataclass(frozen=True)
class NNX:
    """An NNX module as a model: `build(rngs) -> module` is called with `flax.nnx.Rngs` to initialise it.

    Parameters are the module's `nnx.Param` as nested dictionaries. Raises: BadInput where it keeps any other state
    (batch statistics, dropout's random state).

    >>> from flax import nnx
    >>> model = NNX(lambda rngs: nnx.Linear(3, 2, rngs=rngs))
    >>> sorted(model.init(jax.random.key(0), None)["params"])
    ['bias', 'kernel']
    """

    build: Callable[[Any], Any]

    def init(self, key: Key, x: Any) -> dict[str, Params]:
        from flax import nnx

        _, params, rest = nnx.split(self.build(nnx.Rngs(key)), nnx.Param, ...)
        if rest:
            kinds = sorted({type(leaf).__name__ for _, leaf in nnx.to_flat_state(rest)})
            raise BadInput(
                f"the NNX module keeps state beside its parameters ({', '.join(kinds)}), which no statement about "
                "parameters covers; use stateless layers (GroupNorm instead of BatchNorm, no dropout)"
            )
        return {"params": nnx.to_pure_dict(params)}

    def apply(self, variables: dict[str, Params], x: jax.Array) -> jax.Array:
        from flax import nnx

        graph, params = _structure(self.build)
        nnx.replace_by_pure_dict(params, variables["params"])
        return nnx.merge(graph, params)(x)


def _structure(build: Callable[[Any], Any]) -> tuple[Any, Any]:
    """(graph, abstract parameters) of the module, without computing its weights."""
    from flax import nnx

    abstract = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    return nnx.split(abstract, nnx.Param)
