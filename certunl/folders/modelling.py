"""Models by name: those of the registry, and classes of the user's own through the adapters of their libraries."""

import inspect
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from certunl import models, registry
from certunl.base import Key, Params
from certunl.datasets import Splits
from certunl.errors import BadInput
from certunl.features import Features
from certunl.models import Headless
from certunl.training.adapters import adapter_of, check_model
from certunl.training.slot_table import SlotTable

__all__ = ["extractor_of", "model_of", "settable", "tuples", "with_outputs"]

_KEYS = {models.NNX: "rngs", models.Equinox: "key"}
"""The parameter of a module's class that takes its randomness."""


@dataclass(frozen=True)
class _Maker:
    """The function from a key, or from `Rngs`, to a module of a class with its settings."""

    kind: Any
    settings: tuple[tuple[str, Any], ...]
    key: str

    def __call__(self, key: Key) -> Any:
        own = {self.key: key} if self.key in registry.parameters(self.kind) else {}
        return self.kind(**dict(self.settings), **own)


def settable(name: str) -> list[str]:
    """The names of the settings of the model `name`."""
    kind = _found(name)
    adapter = _adapter(kind)
    return [setting for setting in registry.parameters(kind) if adapter is None or setting != _KEYS[adapter]]


def with_outputs(settings: dict[str, Any], splits: Splits) -> dict[str, Any]:
    """The settings of the model of a run. They have the number of outputs as `classes`, unless the model has no such
    setting or the run fixes it.

    Args:
        settings: the settings of the run, as `compose` makes them.
        splits: its data.
    """
    chosen = {name: tuple(v) if isinstance(v, list) else v for name, v in settings["model_settings"].items()}
    if "classes" not in settable(settings["model"]) or "classes" in chosen:
        return chosen
    loss, values = settings.get("loss"), math.prod(np.shape(splits.train.y)[1:])
    if loss == "binary":
        return {"classes": 1, **chosen}
    by_class = splits.classes is not None and loss not in ("regression", "multilabel")
    return {"classes": splits.classes if by_class else values, **chosen}


def model_of(name: str, settings: dict[str, Any]) -> Any:
    """The model `name` with `settings`.

    Args:
        name: a name of the room of models, or "package.module:Class" for a class of linen, NNX or Equinox, or for a
            function that returns a model.
        settings: the settings of the class or function.

    Raises: BadInput for an unknown name or setting, and for something that gives no model.
    """
    kind = _found(name)
    if (adapter := _adapter(kind)) is None:
        model = registry.fill(kind, settings, f"models/{name}")
        check_model(model)
        return model
    for setting in settings:
        if setting not in (names := settable(name)):
            raise BadInput(f"models/{name} has no setting {setting!r}; it has {', '.join(names) or 'none'}")
    return adapter(_Maker(kind, tuple(settings.items()), _KEYS[adapter]))


def _adapter(kind: Any) -> Any:
    """The adapter of a class, or None if it needs none."""
    named = adapter_of(kind) or ""
    return next((adapter for adapter in _KEYS if f"models.{adapter.__name__}(" in named), None)


def _found(name: str) -> Any:
    """The class or function of the name. Raises: BadInput for other objects."""
    thing = registry.find("models", name)
    if inspect.isclass(thing) or inspect.isroutine(thing):
        return thing
    kind = type(thing).__name__
    if adapter_of(thing) or (hasattr(thing, "init") and hasattr(thing, "apply")):
        raise BadInput(
            f"{name} is a module and not its class; name the class, such as {kind}, and give its settings with --set"
        )
    raise BadInput(f"{name} is no class and no function but a {kind}; a model is package.module:Class")


def tuples(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with tuples in place of lists, as they were before JSON."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}


def extractor_of(facts: dict[str, Any], params: Params, slots: Any) -> Features:
    """The extractor that the `facts` of a run name, with the parameters that the run keeps, and the slots of a training
    with noise."""
    apply = Headless(model_of(facts["model"], tuples(facts["model_settings"])))
    noisy = {} if slots is None else {"slots": SlotTable.made_of(slots, facts["slots"]), "rows": facts["rows"]}
    return Features(
        apply=apply, params=params, origin=facts["origin"], inherited=tuple(facts["inherited"]), **noisy
    ).restored()
