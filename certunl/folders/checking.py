"""What is wrong with a run folder or a release, and what in a folder still depends on the forgotten."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from certunl.base import Params
from certunl.errors import BadInput
from certunl.folders._writing import PAGES
from certunl.folders.json_files import read_json
from certunl.folders.parts import Parts, ordered
from certunl.folders.purging import forgotten_owners
from certunl.folders.settling import CUT
from certunl.rows.erasing import check_rows, kept

if TYPE_CHECKING:
    from certunl.folders.run import RunFolder

__all__ = ["check_release", "problems", "residue"]

VERDICTS = ("PROVED", "CONDITIONAL", "VACUOUS", "NOT CERTIFIED")

_SCHEMA = {
    "entry": int,
    "head": str,
    "verdict": str,
    "method": str,
    "reference": str,
    "compared": str,
    "sigma": (int, float),
    "epsilon": (int, float, type(None)),
    "delta": (int, float),
    "failure_probability": (int, float),
    "part": str,
    "arrays": str,
    "digest": str,
}
"""Schema 1 of the facts of a release: names and types."""

_LATER = {"mu": (int, float, type(None))}
"""Entries of schema 1 that releases of earlier versions do not have."""


def check_release(place: Path) -> tuple[Params, dict[str, Any]]:
    """(the parameters of a release, its facts), for whoever has the folder of the release alone.

    Raises: BadInput if a file is missing or is not as it was written, or the facts have another schema. A digest finds
    damage. Only the ledger of the owner tells whether somebody wrote both anew (`problems`, with its `head`).
    """
    place = Path(place)
    if not (place / "facts.json").is_file():
        raise BadInput(f"{place} is no release: it has no facts.json; give a folder of RUN/releases")
    named = read_json(place / "facts.json", "it is no release, or a damaged one", lists=False)
    if not isinstance(named, dict) or named["schema"] != 1:
        raise BadInput(f"{place} has facts of another schema, and this version reads 1; use the version that wrote it")
    for name, kind in (_SCHEMA | {name: kind for name, kind in _LATER.items() if name in named}).items():
        value = named[name]
        odd = isinstance(value, bool) or (isinstance(value, str) and not value.isprintable())
        if odd or not isinstance(value, kind) or (isinstance(value, int | float) and not abs(value) < 1e300):
            raise BadInput(f"{place} has no usable {name!r}: it was edited or damaged; ask its owner for another copy")
    if named["verdict"] not in VERDICTS:
        raise BadInput(f"{place} has the verdict {named['verdict']!r}, which certunl does not give; it was edited")
    parts = Parts(place.parent)
    facts = parts.facts(place.name, part=named["part"])
    if not re.fullmatch(r"[0-9a-f]{64}", facts["head"]):
        raise BadInput(f"{place} names no head of a ledger; ask its owner for another copy")
    return parts.arrays(place.name, facts["arrays"]), facts


def check_known(folder: "RunFolder") -> None:
    """Raises BadInput if an update or a release is there that the ledger does not know, and no request is open."""
    both, parts = (folder.releases.updates, folder.releases.published), {*folder.ledger.parts()}
    strange = [one.place / name for one in both for name in one.names() if name not in parts]
    if strange and not folder.ledger.unfinished():
        raise BadInput(f"{strange[0]} is there, and the ledger does not know it; {CUT}")


def problems(folder: "RunFolder") -> list[str]:
    """One sentence for each thing in a run folder that is not as it was written; none for a whole folder.

    The chain of the ledger, the examples beside it, the run, every update and release, and all rows are read and
    compared with their digests.
    """
    sentences: list[str] = []

    def tried(check: Any) -> None:
        try:
            check()
        except BadInput as error:
            sentences.append(str(error))

    tried(folder.ledger.check)
    if sentences:
        return sentences
    tried(lambda: folder.untrained if folder.purged else folder.run)
    tried(lambda: folder.owner_names)
    ledger, releases = folder.ledger, folder.releases
    gone = {name for event in ledger.events() if event.state == "purged" for name in json.loads(event.facts)["updates"]}
    leaders = {entry.part: entry for entry in ledger.leaders()}
    for name, entry in leaders.items():
        facts = entry.facts["applied"]
        if (releases.updates.place / name).exists():
            tried(lambda name=name, facts=facts: releases.updates.compared(name, facts))
        elif name not in gone:
            sentences.append(f"updates/{name} is gone, and no purge removed it; restore it from a copy")
        if (releases.published.place / name).exists():
            named = {"entry": entry.number, "head": entry.head, "arrays": facts["release"], **facts["public"]}
            tried(lambda name=name, named=named: releases.published.compared(name, named))
    for parts in (releases.updates, releases.published):
        for name in parts.names():
            if name not in leaders:
                sentences.append(f"{parts.place.name}/{name} is there, and the ledger does not know it")
    for store in sorted(store for store in (folder.path / "prepared").glob("*") if store.is_dir()):
        tried(lambda store=store: check_rows(store))
    return sentences


def residue(folder: "RunFolder") -> list[str]:
    """One sentence for each thing in a run folder that still depends on forgotten examples, or names them."""
    ledger, releases, path = folder.ledger, folder.releases, folder.path
    every = ledger.forgotten()
    if not len(every):
        return []
    sentences = []
    if (path / "model").exists():
        sentences.append(
            "model/ is the trained model before any request, with states of its training if it kept some; "
            "purge --model removes it"
        )
    lines = {name.rpartition("-")[0]: name for name in ledger.parts()}
    updates = [name for name in releases.updates.names() if name not in lines.values()]
    if updates:
        more = f" and {len(updates) - 1} more" if len(updates) > 1 else ""
        sentences.append(
            f"updates/{updates[0]}{more}: earlier un-noised results, and states of their replays, whose differences "
            "tell of examples forgotten in between; purge removes them"
        )
    for line, name in lines.items():
        others = np.setdiff1d(every, ledger.forgotten(line))
        if len(others) and (releases.updates.place / name).exists():
            sentences.append(
                f"updates/{name} has not forgotten {len(others)} examples that other lines have; ask for them by "
                f"--name {line} too"
            )
    for store in sorted(store for store in (path / "prepared").glob("*") if store.is_dir()):
        rows = len(kept(store, every))
        sentences.append(
            f"prepared/{store.name} has {rows} rows of forgotten examples; the next verb erases them"
            if rows
            else f"prepared/{store.name} has no row of them; the other rows were gathered along a training with them"
        )
    if early := ordered({*releases.published.names()} - {*lines.values()}):
        sentences.append(f"releases/ {', '.join(early)}: made before later requests of their line; withdraw them")
    if pages := [name for name in PAGES if (path / name).exists()]:
        sentences.append(f"{', '.join(pages)}: numbers of un-noised models; purge removes them")
    if any(entry.ids is not None for entry in ledger.entries()):
        sentences.append("ledger.sqlite says which request named which examples; purge removes that")
    sentences.append(f"ledger.sqlite keeps the numbers of {len(every)} forgotten examples, to refuse a second request")
    if (path / "plan.json").exists():
        sentences.append("plan.json has categories, classes and ranges of all the training data")
    sentences.append("arrays/ has the schedule of the training, and every store the numbers of its erased rows")
    if named := forgotten_owners(folder):
        sentences.append(f"owners.json has the names of {len(named)} forgotten owners; purge removes them")
    if (path / "features").exists():
        slots = "; slots/ has the batches of its training" if (path / "slots").exists() else ""
        sentences.append(f"features/ is the extractor, which no request changes{slots}")
    source = folder.facts["settings"]["dataset"]
    sentences.append(f"the data set itself ({source}), copies, snapshots and backups are outside of this folder")
    return sentences
