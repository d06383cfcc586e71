"""ledger, verify and purge: what was asked, whether it is as it was written, and what can be removed."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from certunl.base import width
from certunl.cli._words import Folder, opened, say
from certunl.disk import hold
from certunl.errors import BadInput
from certunl.folders import Entry, RunFolder
from certunl.folders.checking import check_known, check_release, problems, residue
from certunl.folders.purging import purge as purge_folder

__all__ = ["ledger", "purge", "verify"]


def ledger(
    folder: Folder,
    /,
    verify: bool = False,
    residue: bool = False,
    json: bool = False,
    withdraw: str | None = None,
) -> None:
    """Lists every request, its state and its release. It changes nothing but by --withdraw.

    Args:
        folder: the run folder.
        verify: read every file of the folder, compare it with the ledger, and check the chain of the ledger. The exit
            status is 1 if something is not as it was written.
        residue: list what still depends on the forgotten examples, or names them.
        json: print one JSON object in the place of lines.
        withdraw: the id of a request that was asked and not applied, which is refused from now on.
    """
    place = RunFolder(folder)
    if not (folder / "run.json").is_file():
        raise BadInput(f"{folder} is no run folder, because it has no run.json; train into a new folder")
    if withdraw is not None:
        _withdraw(place, withdraw)
    # what a writer is in the middle of would look like damage; on a read-only disk there is no writer
    alone = (verify or residue) and os.access(folder, os.W_OK)
    with hold(folder) if alone else contextlib.nullcontext():
        wrong = problems(place) if verify else []
        if (whole := _whole(place, verify)) and not verify:
            check_known(place)
        left = _residue(place) if residue and whole else []
        entries, head = (place.ledger.entries(), place.ledger.head) if whole else ([], "")
    if json:
        facts: dict[str, Any] = {"schema": 1, "head": head, "requests": [_facts(entry) for entry in entries]}
        facts |= ({"problems": wrong} if verify else {}) | ({"residue": left} if residue else {})
        say(_json(facts))
    else:
        for entry in entries:
            say(_line(entry))
        say(f"{len(entries)} requests; head {head}")
        for sentence in wrong:
            say(f"wrong: {sentence}")
        if verify and not wrong:
            say("everything is as it was written")
        for sentence in left:
            say(f"left: {sentence}")
    if wrong:
        sys.exit(1)


_residue = residue


def _whole(folder: RunFolder, verify: bool) -> bool:
    """Whether the ledger is whole. In another one anything may stand. Raises: BadInput without `verify`."""
    try:
        folder.ledger.check()
    except BadInput:
        if not verify:
            raise
        return False
    return True


def _withdraw(folder: RunFolder, id: str) -> None:
    """Refuses a request that was asked, without computing any that waits."""
    with folder.locked():
        entry = folder.ledger.entry(id)
        if entry.state != "asked":
            raise BadInput(f"request {id} is {entry.state}, and only one that was asked and not applied is withdrawn")
        folder.ledger.add([entry], "refused", {"reason": "withdrawn"})


def _json(facts: Any) -> str:
    return json.dumps(facts, indent=1)


def _line(entry: Entry) -> str:
    what = entry.facts["refused"]["reason"] if entry.state == "refused" else f"releases/{entry.part}"
    verdict = entry.facts.get("applied", {}).get("public", {}).get("verdict", "")
    end = f" ({verdict})" if verdict and entry.state != "refused" else ""
    where = f": {what}{end}" if entry.part or entry.state == "refused" else ""
    return f"{entry.number} {entry.order.id} {entry.time} {entry.state}, {entry.said()}{where}"


def _facts(entry: Entry) -> dict[str, Any]:
    applied = entry.facts.get("applied", {})
    return {
        "number": entry.number,
        "id": entry.order.id,
        "state": entry.state,
        "line": entry.order.line,
        "method": entry.order.method,
        "settings": entry.order.settings,
        "words": entry.order.words or None,
        "reason": entry.order.reason or None,
        "size": entry.size,
        "examples": None if entry.ids is None else entry.ids.tolist(),
        "part": entry.part or None,
        "times": {event.state: event.time for event in entry.events},
        "refused": entry.facts["refused"]["reason"] if entry.state == "refused" else None,
        "public": applied.get("public"),
        "before": applied.get("before"),
        "params": applied.get("params"),
        "release": applied.get("release"),
        "head": entry.head or None,
    }


def verify(
    release: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RELEASE")],
    /,
    run: Path | None = None,
    json: bool = False,
) -> None:
    """Checks a release for whoever has its folder: digests, certificate, entry and head of the ledger.

    Args:
        release: a folder of RUN/releases, or a copy of one.
        run: the run folder of its owner, whose ledger must have the same entry, head and digest.
        json: print the facts as JSON.
    """
    params, facts = check_release(release)
    if run is not None:
        _compare(release, facts, RunFolder(run))
    if json:
        return say(_json(facts))
    size = width(params)
    epsilon = "no epsilon is published" if facts["epsilon"] is None else f"epsilon {facts['epsilon']:g}"
    mu = "" if facts.get("mu") is None else f", mu {facts['mu']:.4g}"
    say(f"{facts['verdict']}: {facts['method']}, {epsilon} at delta {facts['delta']:g}{mu}, sigma {facts['sigma']:.6g}")
    say(f"compared with {facts['reference']}")
    say(f"{size:,} parameters, as they were written (sha256 of the files {facts['arrays']})")
    where = "which its ledger has" if run is not None else "which only its owner can compare (--run)"
    say(f"entry {facts['entry']} of a ledger with head {facts['head']}, {where}")


def _compare(release: Path, facts: dict[str, Any], folder: RunFolder) -> None:
    """Raises BadInput unless the ledger of `folder` has this release."""
    folder.ledger.check()
    entry = folder.ledger.find(facts["entry"])
    applied = {} if entry is None else entry.facts.get("applied", {})
    expected = None if entry is None else (entry.part, entry.head, applied.get("release"), applied.get("public"))
    public = {name: facts[name] for name in applied.get("public", {})}
    if expected != (facts["part"], facts["head"], facts["arrays"], public):
        raise BadInput(
            f"the ledger of {folder.path} has no such entry {facts['entry']}: it was cut or written anew after "
            f"{release} was made, or the release is another owner's"
        )


def purge(folder: Folder, /, model: bool = False, wait: bool = False) -> None:
    """Removes what describes forgotten examples and is not needed to go on: earlier un-noised states, evaluations and
    pages, and which request named which examples. The last state of each line stays, and so do the releases.

    Args:
        folder: the run folder.
        model: remove the trained model too. New lines can then only begin with retrain.
        wait: wait until another certunl has left the folder.
    """
    place = RunFolder(folder)
    with opened(place, wait=wait):
        removed = purge_folder(place, model=model)
        left = _residue(place)
    say(f"removed: {'; '.join(removed)}" if removed else "there was nothing to remove")
    for sentence in left:
        say(f"left: {sentence}")
