"""Run folders: the nouns on disk. Every part is written beside its place and renamed into it, so that a part is whole
or absent.

    RUN/run.json, arrays/          settings, versions and fingerprint; start, schedule, params (arrays: keep secret)
    RUN/features/                  parameters of the extractor whose features the model sees, where there is one: public
    RUN/prepared/NAME/             a store of statistics, see rows/store.py    (personal data: keep secret)
    RUN/updates/NAME-K/            the un-noised result of NAME's K-th request (keep secret)
    RUN/releases/NAME-K/           what may be published: params (noised as its certificate says), the certificate's
                                   verdict, epsilon, delta, sigma
    RUN/evaluation.json, report.html, report.md, report/     for the owner: they speak of un-noised models

What is secret is made for its owner alone (mode 700 or 600), releases for everyone; noise is never derived from the
seed in run.json.
"""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from certunl import registry
from certunl.datasets import Splits, load, mislabel
from certunl.disk import digest, load_arrays, read_json, save_arrays, whole, write_json
from certunl.errors import BadInput
from certunl.features import Features
from certunl.models import Headless
from certunl.training.problem import Dataset, Problem
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule
from certunl.training.supervised import classification

__all__ = ["Built", "build", "load_run", "reserve", "save_run"]


_FORMAT = 4


class Built(NamedTuple):
    """What settings describe: `source` are the training data as they come, `splits` what the model sees of them: the
    features of `extractor`, where there is one; `mislabelled i32[k]` the training examples with replaced labels."""

    problem: Problem
    recipe: Recipe
    splits: Splits
    source: Dataset
    extractor: Features | None
    mislabelled: np.ndarray


def build(settings: dict[str, Any], extractor: Features | None = None) -> Built:
    """What a run's settings describe."""
    splits = load(settings["dataset"], **_tuples(settings["dataset_settings"]))
    source, ids = splits.train, np.zeros(0, np.int32)
    if "mislabel" in settings:
        key = jax.random.fold_in(jax.random.key(settings["seed"]), 2)  # 0 and 1 may be the halves training splits
        source, ids = mislabel(key, source, settings["mislabel"], splits.classes)
        splits = splits._replace(train=source)
    if extractor is not None:
        splits = splits._replace(train=extractor(source), test=extractor(splits.test))
    model = registry.build(
        "models", settings["model"], **{"classes": splits.classes, **_tuples(settings["model_settings"])}
    )
    problem = classification(model, splits.train, l2=settings["l2"])
    return Built(problem, registry.fill(Recipe, settings["recipe"], "Recipe"), splits, source, extractor, ids)


def save_run(folder: Path, run: Run, settings: dict[str, Any], built: Built) -> None:
    """Writes a new run folder. Raises: BadInput where `folder` already holds something."""
    reserve(folder)
    facts = {
        "format": _FORMAT,
        "settings": settings,
        "fingerprint": _fingerprint(run, settings, built),
        "x64": jax.config.read("jax_enable_x64"),
        "versions": {name: version(name) for name in ("certunl", "jax", "jaxlib", "flax", "optax")},
        "device": f"{jax.devices()[0].device_kind}, {os.cpu_count()} CPUs {platform.machine()}",
    }
    arrays = {"start": run.start, "params": run.params, "schedule": vars(run.schedule)}
    with whole(folder) as partial:
        save_arrays(partial / "arrays", arrays)
        (partial / "arrays").chmod(0o700)
        if built.extractor is not None:
            save_arrays(partial / "features", built.extractor.params)
        write_json(partial / "run.json", facts)


def reserve(folder: Path) -> None:
    """Raises BadInput unless a new run can be written to `folder`: asked before the long work, not after."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} already exists and is not empty; choose another folder, or remove it first")
    parent = next(p for p in folder.absolute().parents if p.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise BadInput(f"{folder} cannot be written: {parent} is no folder this user may write to")


def load_run(folder: Path) -> tuple[Run, Splits, dict[str, Any]]:
    """(run, data, facts of run.json and, as "mislabelled", whose labels were replaced).

    Raises: BadInput where the folder is missing, half-written, changed, or the data are not those it was trained on.
    """
    facts = read_json(folder / "run.json", "it is no run folder, or a half-written one; train again")
    if facts["format"] != _FORMAT:
        raise BadInput(f"{folder} has format {facts['format']}, this version reads {_FORMAT}; train again")
    if facts["x64"] != jax.config.read("jax_enable_x64"):
        raise BadInput(f"{folder} was made with JAX_ENABLE_X64={int(facts['x64'])}; set the same to read it")
    built = build(facts["settings"], _extractor(folder, facts["settings"]))
    problem, recipe, splits = built[:3]
    arrays = load_arrays(folder / "arrays")
    start, params, schedule = arrays["start"], arrays["params"], Schedule(**arrays["schedule"])
    present = jax.numpy.ones(len(problem.data), bool)
    run = Run(problem=problem, recipe=recipe, start=start, schedule=schedule, params=params, present=present)
    if _fingerprint(run, facts["settings"], built) != facts["fingerprint"]:
        raise BadInput(
            f"{folder} does not match its fingerprint: its settings, arrays or the data set on this machine are not "
            "those it was trained with; restore them or train again"
        )
    return run, splits, facts | {"mislabelled": built.mislabelled}


def _extractor(folder: Path, settings: dict[str, Any]) -> Features | None:
    """The extractor whose copy `folder` keeps; the run it came from may be gone."""
    if "features" not in settings:
        return None
    kept = settings["features"]
    model = registry.build("models", kept["model"], **_tuples(kept["model_settings"]))
    told = {"origin": kept["origin"], "inherited": tuple(kept["inherited"])}
    return Features(apply=Headless(model), params=load_arrays(folder / "features"), **told)


def _fingerprint(run: Run, settings: dict[str, Any], built: Built) -> str:
    """Of what features are made from, not of them: another machine may round them otherwise."""
    extractor = None if built.extractor is None else built.extractor.params
    return digest(settings, (run.start, vars(run.schedule), run.params, built.source, extractor))


def _tuples(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
