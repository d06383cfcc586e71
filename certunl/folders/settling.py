"""The end of interrupted requests: those asked are answered, those applied are released, and their rows erased."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from certunl import disk
from certunl.certificates.update import Unlearner
from certunl.errors import BadInput, warn
from certunl.folders._writing import RETRAINING, TRAINING
from certunl.folders.order import Entry
from certunl.folders.purging import finish_purges

if TYPE_CHECKING:
    from certunl.folders.run import RunFolder

__all__ = ["CUT", "Build", "settled"]

Build = Callable[[str, dict[str, Any]], Unlearner]
"""(name, settings) -> the method."""


def settled(folder: "RunFolder", build: Build | None) -> list[Entry]:
    """The requests that were open, after each was finished or refused. A verb that locks the folder begins with this.

    An update that is whole is adopted, even if a crash came before the ledger counted it. Otherwise it is computed
    again, with the same key. A release that was not published is published. A request that cannot be computed now stays
    asked, with a warning, and holds up no other.

    Raises: BadInput if the ledger is damaged, or does not know an update or a release that is there, and if rows cannot
    be erased.
    """
    folder.ledger.check()
    finish_purges(folder)
    disk.remove(folder.path / TRAINING)  # a crash came after the training, and before this
    parts = {*folder.ledger.parts()}
    open_ = folder.ledger.unfinished()
    releases, done = folder.releases, []
    for name in releases.updates.names():
        if name not in parts:
            done += releases.finished(releases.applied(*_adopted(folder, name, open_)))
            parts.add(name)
    if strange := [name for name in releases.published.names() if name not in parts]:
        raise BadInput(f"releases/{strange[0]} is there, and the ledger does not know it; {CUT}")
    left = {entry.number for entry in done}
    for entries in _groups([entry for entry in open_ if entry.number not in left]):
        if entries[0].state != "asked":
            done += releases.finished(entries)
        elif build is not None:
            done += _answered(folder, entries, build)
    if not folder.ledger.unfinished():
        disk.remove(folder.path / RETRAINING)
    return done


CUT = "the ledger was cut, or comes from another copy of the folder: restore the newest one, or move that away"


def _answered(folder: "RunFolder", entries: Sequence[Entry], build: Build) -> list[Entry]:
    """The entries that were answered or refused; the others wait, with a warning."""
    order = entries[0].order
    try:
        method = build(order.method, order.settings)
        line = folder.line(order.line, order.method, order.settings)
        return line.answer(entries, method, folder.rows(order.method, method))[0]
    except Exception as error:  # whatever stops one request must stop no other
        again = [folder.ledger.entry(entry.number) for entry in entries]
        if waiting := [entry for entry in again if entry.state == "asked"]:
            id = waiting[0].order.id
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            warn(f"request {id} waits ({reason}); certunl ledger RUN --withdraw {id} withdraws it")
        return [entry for entry in again if entry.state == "refused"]


def _adopted(folder: "RunFolder", name: str, open_: Sequence[Entry]) -> tuple[list[Entry], dict[str, Any]]:
    """(the open entries that the update `name` answers, its facts)."""
    waiting = {entry.number: entry for entry in open_ if entry.state == "asked"}
    if name in folder.releases.updates:
        facts = folder.releases.updates.load(name)[1]
        numbers, last = facts.get("entries", []), (folder.ledger.parts(name.rpartition("-")[0]) or [""])[-1]
        if numbers and all(number in waiting for number in numbers) and facts["after"] == last:
            return [waiting[number] for number in numbers], {k: v for k, v in facts.items() if k != "digest"}
    raise BadInput(f"updates/{name} is there, and the ledger does not know it; {CUT}")


def _groups(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The open entries: those of one release together, and those that were asked to share an update."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        together = f"asked {entry.facts['asked'].get('group', entry.number)}"
        groups.setdefault(together if entry.state == "asked" else entry.part, []).append(entry)
    yield from groups.values()
