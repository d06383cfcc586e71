"""A network without its last layer."""

from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn

from certunl.base import Params
from certunl.errors import BadInput

__all__ = ["Headless"]


@dataclass(frozen=True)
class Headless:
    """(params, x) -> f[b, p], the inputs of the last dense layer of a model; `params` are those of the whole model.

    Neither the model nor its tree of parameters changes. The whole model runs, and the inputs of its last layer are
    intercepted.

    Args:
        model: a linen module that ends with a dense layer.

    Raises: BadInput, when called, if the outputs of the model are not those of a dense layer.
    """

    model: Any

    def __call__(self, params: Params, x: jax.Array) -> jax.Array:
        calls: list[tuple[jax.Array, jax.Array]] = []

        def listen(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
            outputs = call(*args, **kwargs)
            if isinstance(context.module, nn.Dense) and context.method_name == "__call__":
                calls.append(((*args, *kwargs.values())[0], outputs))
            return outputs

        with nn.intercept_methods(listen):
            outputs = self.model.apply({"params": params}, x)
        for inputs, results in calls:
            if results is outputs:  # the same array, so nothing comes after this layer
                return inputs.reshape(inputs.shape[0], -1)
        raise BadInput(
            f"{type(self.model).__name__} does not end with a dense layer of flax.linen that could be left out; give a "
            "function of your own, Features(apply=..., params=..., origin=...)"
        )
