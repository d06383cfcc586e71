"""Removing what describes the forgotten: earlier states, pages, names, and if asked the trained model."""

import json
from typing import TYPE_CHECKING

import numpy as np

from certunl import disk
from certunl.errors import BadInput
from certunl.folders._writing import PAGES

if TYPE_CHECKING:
    from certunl.folders.run import RunFolder

__all__ = ["finish_purges", "forgotten_owners", "purge"]


def purge(folder: "RunFolder", *, model: bool = False) -> list[str]:
    """Removes from a locked folder what is not needed to go on. What was removed, in words.

    Every line keeps its last update, from which it goes on.

    Args:
        folder: the run folder.
        model: whether the trained model is removed too. New lines can then only begin with retraining.

    Raises: BadInput if a request is open.
    """
    if open_ := folder.ledger.unfinished():
        raise BadInput(f"request {open_[0].order.id} is open; give any verb that finishes it first")
    pages = [name for name in PAGES if (folder.path / name).exists()]
    for name in pages:
        disk.remove(folder.path / name)
    names = _without_forgotten_owners(folder)
    last = {name.rpartition("-")[0]: name for name in folder.ledger.parts()}
    updates = [name for name in folder.releases.updates.names() if name not in last.values()]
    model = model and (folder.path / "model").exists()
    # the ledger says what is removed before it is, so that a crash leaves nothing unexplained
    count = folder.ledger.purge({"updates": updates, "model": model})
    finish_purges(folder)
    removed = [f"{len(updates)} earlier updates"] * bool(updates) + pages + ["the trained model"] * model
    removed += [f"the examples and words of {count} requests in the ledger"] * bool(count)
    return removed + [f"{names} names of owners"] * bool(names)


def finish_purges(folder: "RunFolder") -> None:
    """Removes what a purge in the ledger says is removed, and is still there."""
    for event in folder.ledger.events():
        if event.state == "purged":
            facts = json.loads(event.facts)
            for place in [folder.releases.updates.place / name for name in facts["updates"]]:
                disk.remove(place)
            if facts["model"]:
                disk.remove(folder.path / "model")


def _without_forgotten_owners(folder: "RunFolder") -> int:
    """Removes the names of owners of whom no example is left. The number of names removed."""
    if gone := forgotten_owners(folder):
        folder.write("owners", {n: i for n, i in (folder.owner_names or {}).items() if n not in gone})
    return len(gone)


def forgotten_owners(folder: "RunFolder") -> list[str]:
    """The names of owners of whom no example is left in any line."""
    names, owners = folder.owner_names, folder.splits.train.owners
    if names is None or owners is None:
        return []
    lines = {name.rpartition("-")[0] for name in folder.ledger.parts()}
    present = np.zeros(len(owners), bool)  # in any line, whose next request may name the owner
    for line in lines:
        present[np.setdiff1d(np.arange(len(owners)), folder.ledger.forgotten(line))] = True
    present |= not lines
    left = {*np.asarray(owners)[present].tolist()}
    return [name for name, number in names.items() if number not in left]
