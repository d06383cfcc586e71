"""What a run folder writes down before it trains: the settings that a run is built from, and built from again."""

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from certunl import registry
from certunl.errors import BadInput
from certunl.features import Features
from certunl.folders.run import load_run
from certunl.training.recipe import Recipe

__all__ = ["adopt", "compose"]


def compose(
    dataset: str, model: str, pairs: Sequence[str], limits: dict[str, Any], seed: int, mislabel: float | None = None
) -> dict[str, Any]:
    """The settings of a run; `pairs` of "name=value" are the recipe's, the model's or l2, `limits` the data set's,
    `mislabel` the share of its training labels that are replaced.

    Raises: BadInput for a name that none of them has, and for a dtype that JAX would silently shorten.
    """
    chosen = registry.parse(pairs)
    l2 = chosen.pop("l2", 0.0)
    known = {field.name for field in dataclasses.fields(Recipe)}
    recipe = {name: chosen.pop(name) for name in list(chosen) if name in known}
    fields = [p for p in inspect.signature(registry.find("models", model)).parameters if p not in ("parent", "name")]
    if unknown := sorted(chosen.keys() - fields):
        raise BadInput(f"there is no setting {unknown[0]!r}; settings are {', '.join([*sorted(known), *fields, 'l2'])}")
    _check_precision(chosen.get("dtype"))
    return {
        "dataset": dataset,
        "dataset_settings": {name: value for name, value in limits.items() if value is not None},
        **({} if mislabel is None else {"mislabel": mislabel}),
        "model": model,
        "model_settings": chosen,
        "l2": l2,
        "recipe": dataclasses.asdict(registry.fill(Recipe, recipe, "Recipe")),
        "seed": seed,
    }


def _check_precision(dtype: Any) -> None:
    """What is no dtype is left to the model, which refuses it."""
    try:
        held = jax.dtypes.canonicalize_dtype(dtype)
    except TypeError:
        return
    if dtype is not None and held != np.dtype(dtype):
        raise BadInput(f"dtype={dtype} needs JAX_ENABLE_X64=1 in the environment: without it JAX computes in {held}")


def adopt(folder: Path) -> tuple[Features, dict[str, Any]]:
    """(the network of the run in `folder` without its last layer, what to write down to build it again from its
    parameters). Raises: BadInput where there is no run, or one of features itself."""
    run, splits, facts = load_run(folder)
    settings = facts["settings"]
    if "features" in settings:
        raise BadInput(
            f"{folder} was itself trained on features; give the run they came from, {settings['features']['run']}"
        )
    extractor = Features.of(run)
    return extractor, {
        "run": str(folder.absolute()),
        "fingerprint": facts["fingerprint"],
        "origin": extractor.origin,
        "inherited": extractor.inherited,
        "model": settings["model"],
        "model_settings": {"classes": splits.classes, **settings["model_settings"]},
    }
