"""A run in two lines."""

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.core import Tracer

from certunl.base import sized
from certunl.training.modules import module_class

if TYPE_CHECKING:
    from certunl.training.run import Run

__all__ = ["described"]


def described(run: "Run") -> str:
    """The model, the numbers of parameters, examples and steps, and the settings of the recipe that are not defaults.

    It needs no values of arrays, so that it also describes a run whose arrays are traced or left out.
    """
    steps = _length(run.schedule.indices)
    models = f"{run.problem.shards} shards of " if run.problem.sharded else ""
    counts = [f"{models}{_model(run.problem.one.losses)} of {sized(run.params)}", f"{_length(run.present):,} examples"]
    if forgotten := _forgotten(run.present):
        counts[-1] += f" ({forgotten:,} forgotten)"
    counts.append(f"{steps:,} steps" if steps else "adopted without its steps")
    fields = {field.name: field.default for field in dataclasses.fields(run.recipe)}
    changed = {name: getattr(run.recipe, name) for name in fields if getattr(run.recipe, name) != fields[name]}
    return f"Run({', '.join(counts)},\n    Recipe({', '.join(f'{name}={value!r}' for name, value in changed.items())}))"


def _model(losses: Any) -> str:
    model = getattr(losses, "model", None)
    named = losses if model is None else module_class(model)
    return getattr(named, "__name__", type(named).__name__)


def _length(array: Any) -> int:
    return next(iter(getattr(array, "shape", ())), 0)


def _forgotten(present: Any) -> int:
    """The number of forgotten examples; 0 if this process does not know the values of `present`."""
    shared = isinstance(present, jax.Array) and not isinstance(present, Tracer) and present.is_fully_addressable
    readable = isinstance(present, np.ndarray) or shared
    return int(np.sum(~np.asarray(present, bool))) if readable else 0
