"""Run folders: the nouns on disk. Every part is written beside its place and renamed into it, so that a part is whole
or absent.

    RUN/run.json, arrays/          settings, versions and fingerprint; start, schedule, params (arrays: keep secret)
    RUN/features/                  parameters of the extractor whose features the model sees, where there is one: public
    RUN/prepared/NAME/             a store of statistics, see store.py         (personal data: keep secret)
    RUN/updates/NAME-K/            the un-noised result of NAME's K-th request (keep secret)
    RUN/releases/NAME-K/           what may be published: params (noised as its certificate says), the certificate's
                                   verdict, epsilon, delta, sigma
    RUN/evaluation.json, report.html, report.md, report/     for the owner: they speak of un-noised models

What is secret is made for its owner alone (mode 700 or 600), releases for everyone; noise is never derived from the
seed in run.json.
"""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from certunl import rooms
from certunl.datasets import Splits, load, mislabel
from certunl.disk import digest, load_arrays, read_json, save_arrays, whole, write_json
from certunl.features import Features
from certunl.models import Headless
from certunl.problem import Dataset, Problem
from certunl.recipe import Recipe
from certunl.schedule import Schedule
from certunl.supervised import classification
from certunl.training import Run
from certunl.typing import BadInput, Params

__all__ = [
    "Built",
    "build",
    "check_name",
    "exists",
    "exposed",
    "load_facts",
    "load_part",
    "load_run",
    "parts",
    "reserve",
    "save_part",
    "save_run",
    "secret",
]

_FORMAT = 4
_NAME = re.compile(r"[A-Za-z][\w.-]{0,63}")
_NUMBERED = re.compile(r"([A-Za-z][\w.-]*)-(\d+)")


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
    model = rooms.build(
        "models", settings["model"], **{"classes": splits.classes, **_tuples(settings["model_settings"])}
    )
    problem = classification(model, splits.train, l2=settings["l2"])
    return Built(problem, rooms.fill(Recipe, settings["recipe"], "Recipe"), splits, source, extractor, ids)


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


def save_part(folder: Path, kind: str, name: str, arrays: Params, facts: dict[str, Any]) -> None:
    """Writes RUN/kind/name whole, replacing what was there; owner-only where it is not a release."""
    place = folder / kind / name
    place.parent.mkdir(exist_ok=True, mode=0o755 if kind == "releases" else 0o700)
    with whole(place, replacing=True) as partial:
        save_arrays(partial / "arrays", arrays)
        write_json(partial / "facts.json", facts)


def secret(folder: Path, kind: str) -> Path:
    """RUN/kind, for the owner alone."""
    (folder / kind).mkdir(exist_ok=True, mode=0o700)
    return folder / kind


def exposed(folder: Path) -> list[str]:
    """What in RUN is secret and may be read by others than its owner, though releases may lie beside it."""
    known = ("arrays", "prepared", "updates", "evaluation.json", "audits.json", "attacked.json", "comparison.json")
    known += tuple(f"{page}{end}" for page in ("report", "comparison") for end in ("", ".html", ".md"))
    return [name for name in known if (folder / name).exists() and (folder / name).stat().st_mode & 0o077]


def load_part(folder: Path, kind: str, name: str) -> tuple[Params, dict[str, Any]]:
    """(arrays, facts) of RUN/kind/name."""
    return load_arrays(folder / kind / name / "arrays"), load_facts(folder, kind, name)


def load_facts(folder: Path, kind: str, name: str) -> dict[str, Any]:
    """The facts of RUN/kind/name alone."""
    return read_json(folder / kind / name / "facts.json", f"{kind}/{name} is half-written; remove it")


def exists(folder: Path, kind: str, name: str) -> bool:
    """Whether RUN/kind/name is there, whole."""
    return (folder / kind / name / "facts.json").is_file()


def parts(folder: Path, kind: str) -> list[str]:
    """The names in RUN/kind, by lineage and number."""
    found = [m for p in (folder / kind).glob("*") if (m := _NUMBERED.fullmatch(p.name)) and exists(folder, kind, m[0])]
    return [m[0] for m in sorted(found, key=lambda m: (m[1], int(m[2])))]


def check_name(line: str) -> str:
    """`line` where it can name a line of requests, else BadInput."""
    if not _NAME.fullmatch(line):
        raise BadInput(f"a name is 1 to 64 letters, digits, '_', '.' or '-', beginning with a letter; got {line!r}")
    return line


def _extractor(folder: Path, settings: dict[str, Any]) -> Features | None:
    """The extractor whose copy `folder` keeps; the run it came from may be gone."""
    if "features" not in settings:
        return None
    kept = settings["features"]
    model = rooms.build("models", kept["model"], **_tuples(kept["model_settings"]))
    told = {"origin": kept["origin"], "inherited": tuple(kept["inherited"])}
    return Features(apply=Headless(model), params=load_arrays(folder / "features"), **told)


def _fingerprint(run: Run, settings: dict[str, Any], built: Built) -> str:
    """Of what features are made from, not of them: another machine may round them otherwise."""
    extractor = None if built.extractor is None else built.extractor.params
    return digest(settings, (run.start, vars(run.schedule), run.params, built.source, extractor))


def _tuples(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
