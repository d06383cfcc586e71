"""Runs and releases as folders of their own, and releases as safetensors."""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl import disk
from certunl.base import Params, digest
from certunl.certificates.certificate import Release
from certunl.certificates.update import Update
from certunl.errors import BadInput
from certunl.folders._guarantees import certificate_of, guarantee_of, noted, published
from certunl.folders._saved_runs import listed, of_run, run_of
from certunl.folders.arrays import load_arrays, save_arrays
from certunl.folders.checkpoints import write_tensors
from certunl.folders.json_files import as_json, read_json, write_json
from certunl.folders.run import RunFolder
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.run import Run

__all__ = ["load", "save"]

_FORMAT = 1
_AGAIN = "it is half-written or damaged; save it again"


def save(thing: Run | Release, place: Any, *, data: bool = True) -> None:
    """Writes a run or a release to a new folder, readable by the owner alone. `load` reads it back.

    The folder of a run holds its start, schedule, parameters, losses, states and recipe, and its training data if the
    model and the losses are of this library. Functions of the user's are not saved, so `load` then needs the problem
    again, and an optimizer that is no name of `Recipe` needs the recipe again. The folder of a release holds its whole
    certificate and the un-noised update, without the states of a replay. Both are secret.

    A release at a `place` that ends in .safetensors is exported for the public: the parameters with noise, and the part
    of the certificate that may be published as metadata "certunl". `read_params` reads the parameters.

    Args:
        thing: a Run or a Release.
        place: the folder, which must not exist; or the .safetensors file of a release.
        data: whether the training data of a run are saved with it. They are personal data, and the copy outlives a
            request to forget. Without them `load` needs the problem.

    Raises: BadInput for anything else, for a place that exists, and for an export of a release without noise.
    """
    place = _path(place)
    if place.suffix == ".safetensors":
        _export(thing, place)
        return
    if not isinstance(thing, Run | Release):
        hint = "; certify it first" if isinstance(thing, Update) else ""
        raise BadInput(f"save takes a Run or a Release, got {type(thing).__name__}{hint}")
    if place.exists():
        raise BadInput(f"{place} exists already; choose another folder, or remove it first")
    arrays, facts = of_run(thing, data) if isinstance(thing, Run) else _of_release(thing)
    facts = as_json(facts | {"format": _FORMAT, "x64": jax.config.read("jax_enable_x64")})
    facts["digest"] = digest(facts, arrays)
    with disk.whole(place) as partial:
        partial.chmod(0o700)
        save_arrays(partial / "arrays", arrays)
        write_json(partial / "saved.json", facts, mode=0o600)


def load(place: Any, *, problem: Problem | None = None, recipe: Recipe | None = None) -> Any:
    """The run or release that `save` wrote to `place`, or the run of a run folder of the command line.

    Args:
        place: the folder.
        problem: the problem of a run whose model, losses or data were not saved. Its data must be those of the run.
        recipe: the recipe of a run whose optimizer is no name.

    What was unchecked when the run was saved stays so. A digest finds damage and edits of the folder. It does not stop
    somebody who computes the digest anew, so a loaded verdict is as good as the keeping of the folder.

    Raises: BadInput for a folder that is missing, damaged, edited or of another kind, and for other data or another
    recipe.
    """
    place = _path(place)
    if (place / "run.json").is_file():
        return RunFolder(place).run
    if not (place / "saved.json").is_file():
        other = "; read_params reads parameters" if place.is_file() else ""
        raise BadInput(f"{place} holds nothing that save wrote, neither saved.json nor run.json{other}")
    facts = read_json(place / "saved.json", _AGAIN, lists=False)
    if facts["format"] != _FORMAT:
        raise BadInput(f"{place} has format {facts['format']}, and this version reads {_FORMAT}; save it again")
    if facts["x64"] != jax.config.read("jax_enable_x64"):
        raise BadInput(f"{place} was saved with JAX_ENABLE_X64={int(facts['x64'])}; set the same to read it")
    arrays = jax.tree.map(np.asarray, load_arrays(place / "arrays"))
    if digest({name: fact for name, fact in facts.items() if name != "digest"}, arrays) != facts["digest"]:
        raise BadInput(f"the arrays or facts in {place} are not those that were saved; {_AGAIN}")
    if facts["kind"] == "run":
        return run_of(place, facts, arrays, problem, recipe)
    if problem is not None or recipe is not None:
        raise BadInput(f"{place} holds a release, which needs neither problem nor recipe; leave them out")
    return _release(facts, jax.tree.map(jnp.asarray, arrays))


def _path(place: Any) -> Path:
    if not isinstance(place, str | os.PathLike):
        raise BadInput(f"a place is a path, got {type(place).__name__}")
    return Path(place)


def _of_release(release: Release) -> tuple[Params, dict[str, Any]]:
    """The arrays and the facts of a release, all of them."""
    update = release.update
    return listed({"params": release.params, "update": update.params}), {
        "kind": "release",
        "method": update.method,
        "radius": update.radius,
        "cost": update.cost,
        "guarantee": noted(update.guarantee),
        "certificate": noted(release.certificate),
    }


def _release(facts: Any, arrays: Any) -> Release:
    update = Update(
        params=arrays["update"],
        method=facts["method"],
        guarantee=guarantee_of(facts),
        radius=facts["radius"],
        cost=dict(facts["cost"]),
    )
    return Release(params=arrays["params"], update=update, certificate=certificate_of(facts))


def _export(release: Any, place: Path) -> None:
    """Writes the public part of a release."""
    if not isinstance(release, Release):
        raise BadInput(f"only a Release is exported as .safetensors, got {type(release).__name__}; give another place")
    certificate = release.certificate
    if not certificate.sigma and not certificate.guarantee.exact:
        raise BadInput(
            "this release carries no noise, so it is the un-noised model; give certify a budget that adds noise"
        )
    facts = as_json(published(certificate, release.update.guarantee))
    write_tensors(place, release.params, facts)
