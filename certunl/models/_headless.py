"""A network without its last layer."""

from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn

from certunl.base import Params
from certunl.errors import BadInput
from certunl.models._layers import Dense

__all__ = ["Headless"]


@dataclass(frozen=True)
class Headless:
    """(params, x) -> f[b, p], the inputs of the dense layer that a linen `model` ends with; `params` as the model's.

    The model runs as it is and is listened to: neither it nor its tree of parameters changes.
    Raises: BadInput where its outputs are not those of a dense layer.
    """

    model: Any

    def __call__(self, params: Params, x: jax.Array) -> jax.Array:
        met: list[tuple[jax.Array, jax.Array]] = []

        def listen(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
            outputs = call(*args, **kwargs)
            if isinstance(context.module, Dense | nn.Dense) and context.method_name == "__call__":
                met.append(((*args, *kwargs.values())[0], outputs))
            return outputs

        with nn.intercept_methods(listen):
            outputs = self.model.apply({"params": params}, x)
        for inputs, made in met:
            if made is outputs:
                return inputs.reshape(inputs.shape[0], -1)
        raise BadInput(
            f"{type(self.model).__name__} does not end with a dense layer of flax.linen, so it cannot be left out; "
            "give a function of your own: Features(apply=..., params=..., origin=...)"
        )
