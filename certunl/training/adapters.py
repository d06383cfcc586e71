"""Objects that are given as a model: what their library is, and which adapter makes a model of them."""

import inspect
from typing import Any

from certunl.errors import BadInput

__all__ = ["adapter_of", "check_model"]

_ADAPTERS = {
    "flax.nnx": "certunl.models.NNX(lambda rngs: {}(..., rngs=rngs))",
    "equinox": "certunl.models.Equinox(lambda key: {}(..., key=key))",
    "haiku": "certunl.Problem(init=..., losses=..., data=...), whose functions call the transformed ones",
    "torch": "a JAX module: certunl differentiates JAX programs alone",
    "keras": "a JAX module: certunl differentiates JAX programs alone",
    "tensorflow": "a JAX module: certunl differentiates JAX programs alone",
}
_BASES = ("Module", "Layer", "Transformed", "TransformedWithState")


def adapter_of(thing: Any) -> str | None:
    """The expression that makes a model of a module, or None if it needs no adapter.

    It goes by the names of the base classes, so no other library is imported.

    Args:
        thing: a module of flax.nnx, Equinox, Haiku, PyTorch or Keras, or the class of one, or any other object.

    >>> adapter_of("text") is None
    True
    """
    kind = thing if inspect.isclass(thing) else type(thing)
    for base in kind.__mro__:
        for library, adapter in _ADAPTERS.items():
            if base.__name__ in _BASES and f"{base.__module__}.".startswith(f"{library}."):
                return adapter.format(kind.__name__)
    return None


def check_model(model: Any) -> None:
    """Raises BadInput unless `model` has `init(key, x)` and `apply(variables, x)`; the message names the adapter."""
    kind = model.__name__ if inspect.isclass(model) else type(model).__name__
    if (adapter := adapter_of(model)) is not None:
        raise BadInput(f"the model is a bare module, {kind}; use {adapter}")
    if inspect.isclass(model):
        raise BadInput(f"the model is the class {kind} and not an instance; use {kind}(...)")
    if not (callable(getattr(model, "init", None)) and callable(getattr(model, "apply", None))):
        raise BadInput(
            f"a model needs init(key, x) and apply(variables, x), as Flax linen modules have them; got a {kind}; "
            "models.NNX and models.Equinox adapt modules of those libraries, Problem takes any function"
        )
