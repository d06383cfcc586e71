"""The run in a run folder, read and compared with its fingerprint."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import jax

from certunl.errors import BadInput, understood
from certunl.folders._writing import FORMAT, check_plain
from certunl.folders.arrays import load_arrays
from certunl.folders.json_files import read_json
from certunl.folders.modelling import extractor_of
from certunl.folders.settings import Built, build, by_plan, fingerprint
from certunl.training.provenance import Provenance
from certunl.training.run import Run
from certunl.training.schedule import Schedule

__all__ = ["read_built", "read_facts", "read_untrained"]


def _usable(path: Path) -> AbstractContextManager[None]:
    return understood(f"{path / 'run.json'}, or what it names, cannot be used")


def read_facts(path: Path) -> dict[str, Any]:
    """As `RunFolder.facts`."""
    check_plain(path)
    cure = "it is no run folder, or a half-written one; train again"
    facts = read_json(path / "run.json", cure, lists=False)
    with _usable(path):
        if facts["format"] != FORMAT:
            raise BadInput(f"{path} has format {facts['format']}, this version reads {FORMAT}; train again")
        if facts["x64"] != jax.config.read("jax_enable_x64"):
            precision = 1 if facts["x64"] else 0
            raise BadInput(f"{path} was made with JAX_ENABLE_X64={precision}; set the same to read it")
    return facts


def read_built(path: Path, facts: dict[str, Any]) -> Built:
    """As `RunFolder.built`."""
    with _usable(path):
        settings, extractor = by_plan(facts["settings"], path / "plan.json"), None
        if "features" in settings:  # the folder keeps a copy, because the run of the extractor may be gone
            noisy = "slots" in settings["features"]
            slots = load_arrays(path / "slots", facts["slots"])["indices"] if noisy else None
            extractor = extractor_of(settings["features"], load_arrays(path / "features"), slots)
        return build(settings, extractor)


def read_untrained(path: Path, facts: dict[str, Any], built: Built) -> Run:
    """As `RunFolder.untrained`."""
    with _usable(path):
        arrays = load_arrays(path / "arrays", facts["arrays"])
        run = Run(
            problem=built.problem,
            recipe=built.recipe,
            start=arrays["start"],
            schedule=Schedule(**arrays["schedule"]),
            params=arrays["start"],
            present=jax.numpy.ones(len(built.problem.data), bool),
            provenance=Provenance(**facts["provenance"]),
        )
        actual = fingerprint(run, facts["settings"], built, facts["provenance"])
    if actual != facts["fingerprint"]:
        raise BadInput(
            f"{path} does not match its fingerprint: its settings, arrays or data set are not those it was trained "
            "with; restore them or train again (digits, wine, breast_cancer, mnist: scaled anew since 0.2)"
        )
    return run
