"""The settings of a run: composed from words, written down before training, and built again from what was written."""

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from certunl import registry
from certunl.base import digest
from certunl.datasets import Splits, load, mislabel
from certunl.errors import BadInput
from certunl.features import Features
from certunl.folders.modelling import model_of, settable, tuples, with_outputs
from certunl.training import supervised
from certunl.training.problem import Dataset, Problem
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.sharding import sharded

__all__ = ["LOSSES", "Built", "build", "by_plan", "compose", "fingerprint"]

LOSSES = ("classification", "binary", "regression", "multilabel", "sequence")


class Built(NamedTuple):
    """The objects that the settings of a run describe.

    Args:
        problem: the model and its training data.
        recipe: the settings of training.
        splits: training and test data as the model sees them: features, if the run has an extractor.
        source: the training data before the extractor.
        extractor: the extractor, or None.
        mislabelled: i32[k], the training examples whose labels were replaced.
    """

    problem: Problem
    recipe: Recipe
    splits: Splits
    source: Dataset
    extractor: Features | None
    mislabelled: np.ndarray


def compose(
    dataset: str,
    model: str,
    pairs: Sequence[str],
    limits: dict[str, Any],
    seed: int,
    mislabel: float | None = None,
    loss: str | None = None,
) -> dict[str, Any]:
    """The settings of a run, ready for JSON. Paths among them are absolute, so that they hold in every folder.

    Args:
        dataset: the name of a data set in the registry, a file, a folder, or "package.module:function".
        model: the name of a model in the registry, or "package.module:Class".
        pairs: words "name=value" that set fields of the recipe or the model, `l2`, `randomness` or `shards`. A word
            "data.name=value" is a setting of the data set.
        limits: settings of the data set; None leaves a default.
        seed: decides the initial parameters, the batches and the replaced labels.
        mislabel: the share of training labels to replace. Default: none.
        loss: one of `LOSSES`, or "package.module:function" for a loss f(outputs, targets) -> f[b]. Default:
            classification if the data have classes, otherwise regression.

    Raises: BadInput for an unknown name, and for a dtype that JAX would silently shorten.
    """
    chosen = registry.parse(pairs)
    of_data, l2, randomness = chosen.pop("data", {}), chosen.pop("l2", 0.0), chosen.pop("randomness", None)
    shards = chosen.pop("shards", None)
    if not isinstance(of_data, dict) or "" in of_data:
        raise BadInput("data has settings of its own, such as data.label=bought; data=... has no meaning")
    of_data = {name: value for name, value in limits.items() if value is not None} | of_data
    readable = _is_path(dataset) and not Path(dataset).is_dir()
    if loss == "regression" and readable and not {"plan", "task"} & of_data.keys():
        of_data["task"] = "regression"  # whole numbers are then numbers, and no classes
    of_recipe = {field.name for field in dataclasses.fields(Recipe)}
    recipe = {name: chosen.pop(name) for name in list(chosen) if name in of_recipe}
    fields = settable(model)
    if unknown := sorted(chosen.keys() - fields):
        names = ", ".join([*sorted(of_recipe), *fields, "l2", "randomness", "shards", "data.NAME"])
        raise BadInput(f"there is no setting {unknown[0]!r}; settings are {names}")
    _check_precision(chosen.get("dtype"))
    if loss is not None and loss not in LOSSES:
        _own_loss(loss)
    return {
        # a relative path is looked for in data_dir
        "dataset": _absolute(dataset) if _is_path(dataset) and "data_dir" not in of_data else dataset,
        "dataset_settings": {n: _absolute(v) if n in _PATHS and isinstance(v, str) else v for n, v in of_data.items()},
        **({} if mislabel is None else {"mislabel": mislabel}),
        "model": model,
        "model_settings": chosen,
        **({} if loss is None else {"loss": loss}),
        "l2": l2,
        **({} if randomness is None else {"randomness": randomness}),
        **({} if shards is None else {"shards": shards}),
        "recipe": dataclasses.asdict(registry.fill(Recipe, recipe, "Recipe")),
        "seed": seed,
    }


_PATHS = ("data_dir", "plan", "test_path")
"""Settings of data sets that are paths."""


_OF_PLAN = ("label", "owner", "ignore", "task", "scale", "size")
"""Settings of readers that a plan replaces."""


def by_plan(settings: dict[str, Any], plan: Path) -> dict[str, Any]:
    """The settings of a run that reads its file by `plan`, the copy that training kept, and infers nothing anew.

    Whatever became of the plan that was given then has no effect.
    Raises: BadInput for settings that name a function of Python itself.
    """
    _check_modules(settings)
    if not (plan.is_file() and _is_path(settings["dataset"])):
        return settings
    others = {name: value for name, value in settings["dataset_settings"].items() if name not in _OF_PLAN}
    return settings | {"dataset_settings": others | {"plan": str(plan.absolute())}}


def _is_path(dataset: str) -> bool:
    """Whether a word names a file or folder, and neither a data set of the registry nor an object of a module."""
    path = Path(dataset).expanduser()
    if path.exists() or ":" in dataset:
        return path.exists() and dataset not in registry.names("datasets")
    return os.sep in dataset or bool(path.suffix)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _own_loss(name: str) -> Any:
    """The user's own output loss. Raises: BadInput for a name of another form or an object that cannot be called."""
    if ":" not in name:
        known = ", ".join(LOSSES)
        raise BadInput(f"unknown loss {name!r}; known are {known}, or package.module:function for f(outputs, targets)")
    if not callable(loss := registry.imported(name)) or isinstance(loss, type):
        raise BadInput(f"the loss {name} must be a function f(outputs, targets) -> f[b], got {type(loss).__name__}")
    return loss


def _check_precision(dtype: Any) -> None:
    """Raises BadInput for a dtype that JAX would shorten. The model refuses a value that is no dtype."""
    try:
        canonical = jax.dtypes.canonicalize_dtype(dtype)
    except TypeError:
        return
    if dtype is not None and canonical != np.dtype(dtype):
        raise BadInput(
            f"dtype={dtype} needs JAX_ENABLE_X64=1 in the environment: without it JAX computes in {canonical}"
        )


def build(settings: dict[str, Any], extractor: Features | None = None) -> Built:
    """The objects that `settings` describe; `extractor` turns the data into features."""
    splits = load(settings["dataset"], **tuples(settings["dataset_settings"]))
    source, ids = splits.train, np.zeros(0, np.int32)
    if "mislabel" in settings:
        if splits.classes is None:
            raise BadInput("these data have no classes, so no label can be replaced; leave out --mislabel")
        key = jax.random.fold_in(jax.random.key(settings["seed"]), 2)  # training may use the children 0 and 1
        source, ids = mislabel(key, source, settings["mislabel"], splits.classes)
        splits = splits._replace(train=source)
    if extractor is not None:
        splits = splits._replace(train=extractor(source), test=extractor(splits.test))
    problem = _problem(settings, splits)
    return Built(problem, registry.fill(Recipe, settings["recipe"], "Recipe"), splits, source, extractor, ids)


def _check_modules(settings: dict[str, Any]) -> None:
    """Raises BadInput for functions of Python's own library, which a folder of somebody else might name."""
    for name in (settings["dataset"], settings["model"], settings.get("loss") or ""):
        module = str(name).partition(":")[0].partition(".")[0]
        if ":" in str(name) and module in sys.stdlib_module_names:
            raise BadInput(f"{name} belongs to Python itself, and is no data set, model or loss")


def _problem(settings: dict[str, Any], splits: Splits) -> Problem:
    """The problem of the model and the loss in `settings`."""
    loss = settings.get("loss", "regression" if splits.classes is None else "classification")
    model = model_of(settings["model"], with_outputs(settings, splits))
    of_problem = {"l2": settings["l2"], "randomness": settings.get("randomness")}
    if loss == "regression" and splits.plan is not None and splits.classes is not None:
        raise BadInput("by the plan of the data the labels are classes, and their numbers mean nothing to regression")
    if loss in LOSSES:
        problem = getattr(supervised, loss)(model, splits.train, **of_problem)
    else:
        problem = supervised.supervised(model, splits.train, _own_loss(loss), **of_problem)
    return sharded(problem, settings["shards"]) if "shards" in settings else problem


def fingerprint(run: Run, settings: dict[str, Any], built: Built, provenance: dict[str, str]) -> str:
    """A digest of all that determines the run. It covers the inputs of the extractor and not its features, which may
    round differently on another machine."""
    extractor = None if built.extractor is None else built.extractor.arrays
    settings = {**settings, "provenance": provenance}
    if built.splits.plan is not None:  # what was inferred decides the verdict
        settings = {**settings, "plan": built.splits.plan}
    return digest(settings, (run.start, vars(run.schedule), built.source, extractor))
