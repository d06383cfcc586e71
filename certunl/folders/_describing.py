"""Problems of this library's own models and losses as plain settings, and built again from them."""

import dataclasses
import json
from typing import Any

import jax.numpy as jnp

from certunl import registry
from certunl.errors import BadInput
from certunl.training.losses import bit_loss, bits_loss, softmax_loss, squared_loss
from certunl.training.modules import Supervised
from certunl.training.problem import Dataset, Problem
from certunl.training.provenance import known
from certunl.training.sharding import sharded
from certunl.training.supervised import binary, classification, multilabel, regression

__all__ = ["described", "rebuilt"]

_LOSSES = {
    "classification": (classification, softmax_loss),
    "regression": (regression, squared_loss),
    "binary": (binary, bit_loss),
    "multilabel": (multilabel, bits_loss),
}


def described(problem: Problem) -> dict[str, Any] | None:
    """The settings of a problem of this library's own model and losses, ready for JSON; None for any other problem."""
    losses = problem.one.losses
    if type(losses) is not Supervised or not known(losses.model) or problem.frozen is not None:
        return None
    kind = next((name for name, (_, loss) in _LOSSES.items() if losses.output_loss is loss), None)
    if kind is None or kind != problem.kind:
        return None
    names = {registry.find("models", name): name for name in registry.names("models")}
    fields = [f.name for f in dataclasses.fields(losses.model) if f.init and f.name not in ("parent", "name")]
    settings = {name: getattr(losses.model, name) for name in fields}
    settings["dtype"] = jnp.dtype(settings["dtype"]).name
    try:
        settings = json.loads(json.dumps(settings))
    except TypeError:  # a function in a setting
        return None
    of_model = {"name": names[type(losses.model)], "settings": settings}
    shards = {"shards": problem.shards} if problem.sharded else {}
    return {"kind": kind, **of_model, "l2": float(losses.l2), "randomness": problem.randomness, **shards}


def rebuilt(facts: dict[str, Any], data: Dataset) -> Problem:
    """The problem that `described` gave, on `data`. Raises: BadInput for settings of another version."""
    if facts["kind"] not in _LOSSES:
        raise BadInput(f"this version knows no {facts['kind']!r}, only {', '.join(_LOSSES)}; give load a problem")
    settings = {name: tuple(v) if isinstance(v, list) else v for name, v in facts["settings"].items()}
    settings["dtype"] = jnp.dtype(settings["dtype"]).type
    model = registry.build("models", facts["name"], **settings)
    problem = _LOSSES[facts["kind"]][0](model, data, l2=facts["l2"], randomness=facts.get("randomness"))
    return sharded(problem, facts["shards"]) if "shards" in facts else problem
