"""A new run folder, written whole or not at all."""

import contextlib
import os
import platform
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from certunl import disk
from certunl.base import digest
from certunl.errors import BadInput, Diverged
from certunl.folders.arrays import save_arrays
from certunl.folders.json_files import write_json
from certunl.folders.ledger import Ledger
from certunl.folders.resuming import Checkpoints
from certunl.folders.settings import Built, fingerprint
from certunl.training.run import Run

__all__ = [
    "FORMAT",
    "OWN",
    "PAGES",
    "RETRAINING",
    "TRAINING",
    "check_plain",
    "reserve",
    "root_of",
    "training",
    "write_run",
]

TRAINING = ".certunl-training"
"""The folder in RUN that says, until the run is whole, that everything in RUN is of this program."""

RETRAINING = "retraining"
"""The folder in RUN with the state of each retraining that answers a request; gone when the request is answered."""

FORMAT = 6  # 5 had a ledger that was not bound to the model, 4 had none
OWN = (
    "run.json",
    "arrays",
    "model",
    "features",
    "slots",
    "prepared",
    "updates",
    "releases",
    "ledger.sqlite",
    "plan.json",
)

PAGES = ("evaluation.json", "attacked.json", "audits.json", "comparison.json", "report.html", "report.md")
PAGES += ("evaluating", "comparing", "comparison.html", "comparison.md", "report", "comparison")
"""What verbs write about un-noised models."""


def check_plain(path: Path) -> None:
    """Raises BadInput for links, pipes and devices in the places of this program's files.

    A folder that somebody else made might lead a reader or a writer elsewhere, or hold it up.
    """
    places = [path / name for name in (*OWN, *PAGES, RETRAINING, TRAINING, "owners.json", "ledger.sqlite-journal")]
    for inner in (path / name for name in ("prepared", "updates", "releases")):
        if inner.is_dir() and not inner.is_symlink():
            places += [Path(entry.path) for entry in os.scandir(inner)]
    for place in places:
        if place.is_symlink() or (place.exists() and not (place.is_file() or place.is_dir())):
            raise BadInput(f"{place} is a link or no file, and nothing goes through it; put the real one there")


def reserve(path: Path) -> None:
    """Raises: as `RunFolder.reserve`."""
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    left = {*OWN, "owners.json", TRAINING} - {"run.json"} if TRAINING in names else {"plan.json"}
    if (path.exists() and not path.is_dir()) or names - left - {".lock"}:
        raise BadInput(f"{path} already exists and is not empty; choose another folder, or remove it first")
    parent = next(p for p in path.absolute().parents if p.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise BadInput(f"{path} cannot be written: {parent} is no folder this user may write to")


@contextlib.contextmanager
def training(path: Path, settings: dict[str, Any], built: Built) -> Iterator[Checkpoints]:
    """As `RunFolder.training`."""
    extractor = None if built.extractor is None else built.extractor.arrays
    identity = digest(settings, (built.source, extractor))
    disk.make(path)
    with contextlib.ExitStack() as failed, disk.hold(path):
        reserve(path)  # again, because another training may have ended since
        (path / TRAINING).mkdir(exist_ok=True, mode=0o700)
        checkpoints = Checkpoints(path / TRAINING, settings=identity)
        try:
            yield checkpoints
        except Exception as error:
            if isinstance(error, Diverged):  # it would do so again
                checkpoints.clear()
            failed.callback(partial(_forsake, path))
            raise


def _forsake(path: Path) -> None:
    """Removes the folder of a training that failed, if it holds nothing. States of the training stay."""
    with contextlib.suppress(OSError):
        (path / TRAINING).rmdir()
    if not (path / TRAINING).exists():
        (path / ".lock").unlink(missing_ok=True)
        if not any(path.iterdir()):
            path.rmdir()


def root_of(facts: dict[str, Any]) -> str:
    """What the first event of the ledger is bound to: a digest of the run's fingerprint and of its trained model."""
    return digest([facts["fingerprint"], facts["model"]], ())


def write_run(path: Path, run: Run, settings: dict[str, Any], built: Built) -> None:
    """Writes everything that a run folder holds before its first request."""
    provenance = run.provenance.facts()
    facts = {
        "format": FORMAT,
        "settings": settings,
        "provenance": provenance,
        "fingerprint": fingerprint(run, settings, built, provenance),
        "x64": jax.config.read("jax_enable_x64"),
        "versions": {name: version(name) for name in ("certunl", "jax", "jaxlib", "flax", "optax")},
        "device": f"{jax.devices()[0].device_kind}, {os.cpu_count()} CPUs {platform.machine()}",
    }
    disk.make(path)
    if (path / "run.json").exists():
        raise BadInput(f"{path} holds a run already, and nothing is written over it; choose another folder")
    (path / TRAINING).mkdir(exist_ok=True, mode=0o700)  # says until the end that the rest may be written anew
    staged = path / TRAINING / "run"
    disk.remove(staged)
    with disk.whole(staged) as partial:
        more: dict[str, Any] = {} if run.losses is None else {"losses": run.losses}
        if run.noise is not None:
            more["states"], facts["noise"] = run.noise.arrays(), run.noise.facts()
        if run.states is not None:
            more["stages"] = run.states.arrays()
        schedule = {"start": run.start, "schedule": run.schedule.arrays()}
        for name, arrays in (("arrays", schedule), ("model", {"params": run.params} | more)):
            facts[name] = save_arrays(partial / name, arrays)
            disk.permit(partial / name, public=False)
        Ledger(partial / "ledger.sqlite", root_of(facts)).create()
        if built.extractor is not None:
            save_arrays(partial / "features", built.extractor.params)
            if built.extractor.slots is not None:
                facts["slots"] = save_arrays(partial / "slots", {"indices": built.extractor.slots.indices})
                disk.permit(partial / "slots", public=False)
        if built.splits.plan is not None:
            write_json(partial / "plan.json", built.splits.plan, mode=0o600)
        if (names := built.splits.owner_names) is not None:
            write_json(partial / "owners.json", {n: i for i, n in enumerate(names)}, mode=0o600)
        write_json(partial / "run.json", facts)
    for part in sorted(staged.iterdir(), key=lambda part: part.name == "run.json"):  # which makes it a run folder
        if part.name == "run.json":
            disk.flush(path)
        disk.remove(path / part.name)
        part.rename(path / part.name)
    disk.flush(path)
    disk.flush(path.parent)
    disk.remove(path / TRAINING)
