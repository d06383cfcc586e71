"""The ledger: a SQLite file with every request to a run folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from certunl.certificates.account import Account
from certunl.errors import BadInput
from certunl.folders import _tables
from certunl.folders._agreement import disagreement
from certunl.folders._records import append, entry_of, head, purge, record
from certunl.folders.chain import Event, broken
from certunl.folders.decoding import decoded
from certunl.folders.order import FINAL, Entry, Order
from certunl.folders.spending import Spent, account_of

__all__ = ["Ledger"]

_SHARED = ("part", "place", "public", "reason")


@dataclass(frozen=True)
class Ledger:
    """Every request to a run folder, with its state: asked, applied, released, then erased; or refused.

    A request is recorded before anything is computed for it. Each step is an event, which is never changed; the hash of
    an event covers the one before it. What names people, the ids of examples and the words of a request, lies beside
    the events, which hold only a salted hash of it, so that `purge` can remove it.

    The writer must hold the lock of the folder. Every call opens the file anew.

    Args:
        place: the file, RUN/ledger.sqlite.
        root: the fingerprint of the run, to which the first event is bound.
    """

    place: Path
    root: str

    def create(self) -> "Ledger":
        """This ledger, after an empty file was made for it. Nothing may be at its place."""
        _tables.create(self.place)
        return self

    # --- writing

    def ask(self, orders: Sequence[tuple[Order, np.ndarray]], *, nameless: bool = False) -> list[Entry]:
        """Records requests, in one transaction. A refused request may be asked again under its id.

        Args:
            orders: each with the examples that it names, i32[k].
            nameless: whether their asker has no id to ask again by. They are `untold` until `tell`. Default: no.

        Raises: BadInput if an id was used before.
        """
        numbers: list[int] = []
        with _tables.connected(self.place, write=True) as connection:
            for order, ids in orders:
                numbers.append(record(connection, self.root, order, ids, numbers[0] if numbers else None, nameless))
        return [self.entry(number) for number in numbers]

    def add(self, entries: Sequence[Entry], state: str, facts: dict[str, Any]) -> list[Entry]:
        """Adds one event to each of `entries`, in one transaction. Returns the entries as they are now.

        Only the first has all `facts`; the others have those that an answer needs.
        """
        with _tables.connected(self.place, write=True) as connection:
            for i, entry in enumerate(entries):
                own = facts if i == 0 else {name: facts[name] for name in _SHARED if name in facts}
                append(connection, self.root, entry.number, state, own)
                connection.execute("UPDATE entries SET state = ? WHERE number = ?", (state, entry.number))
                if "part" in own:
                    connection.execute("UPDATE entries SET part = ? WHERE number = ?", (own["part"], entry.number))
        return [self.entry(entry.number) for entry in entries]

    def tell(self, entry: Entry) -> None:
        """Notes that the asker was told what became of a request."""
        with _tables.connected(self.place, write=True) as connection:
            connection.execute("UPDATE entries SET told = 1 WHERE number = ? AND NOT told", (entry.number,))

    def purge(self, facts: dict[str, Any]) -> int:
        """Removes which request named which examples, and all words. The numbers of the forgotten examples stay, by
        line, because a second request for them must be refused. The number of requests purged."""
        with _tables.connected(self.place, write=True) as connection:
            return purge(connection, self.root, facts)

    # --- reading

    def entry(self, which: int | str) -> Entry:
        """The entry with this number or id. Raises: BadInput if there is none."""
        if (entry := self.find(which)) is None:
            raise BadInput(f"{self.place} has no request {which}; certunl ledger lists them")
        return entry

    def find(self, which: int | str) -> Entry | None:
        """The entry with this number or id; None if there is none."""
        column = "id" if isinstance(which, str) else "number"
        return next(iter(self._entries(f"WHERE {column} = ?", which)), None)

    def entries(self, line: str | None = None) -> list[Entry]:
        """All entries, or those of one line, in order."""
        return self._entries("") if line is None else self._entries("WHERE line = ?", line)

    def unfinished(self) -> list[Entry]:
        """The entries that are neither erased nor refused, in order."""
        return self._entries("WHERE state NOT IN (?, ?)", *FINAL)

    def untold(self) -> list[Entry]:
        """The entries that are not refused, and whose asker was not told what became of them."""
        return self._entries("WHERE NOT told AND state != ?", "refused")

    def parts(self, line: str | None = None) -> list[str]:
        """The names of all updates, in the order in which they were made; or those of one line.

        That is not the order of the entries: one that waits, or that is asked again, is answered after later ones.
        """
        query = (
            "SELECT part, line FROM events JOIN entries ON entry = entries.number "
            "WHERE events.state = 'applied' ORDER BY events.number"
        )
        with _tables.connected(self.place) as connection:
            parts = connection.execute(query).fetchall()
        return list(dict.fromkeys(name for name, at in parts if line in (None, at)))

    def makers(self, line: str) -> dict[str, dict[str, Any]]:
        """update -> {"method": its name, "settings": its settings}, in the order in which the line's were made."""
        query = (
            "SELECT part, facts FROM entries JOIN events ON entry = entries.number "
            "WHERE events.state = 'asked' AND line = ? AND part IS NOT NULL ORDER BY entries.number, events.number"
        )
        with _tables.connected(self.place) as connection:
            orders = [(part, json.loads(facts)) for part, facts in connection.execute(query, (line,))]
        makers = {part: {"method": facts["method"], "settings": facts["settings"]} for part, facts in orders}
        return {part: makers[part] for part in self.parts(line)}

    def leaders(self) -> list[Entry]:
        """The entries whose facts tell of a release. Of a group of requests with one release, that is the first."""
        return [entry for entry in self.entries() if "certificate" in entry.facts.get("applied", {})]

    def leader(self, part: str) -> Entry:
        """The one of them that tells of the release `part`. Raises: BadInput if there is none."""
        for entry in self._entries("WHERE part = ?", part):
            if "certificate" in entry.facts["applied"]:
                return entry
        raise BadInput(f"the ledger knows no release {part}; certunl ledger lists them")

    def forgotten(self, line: str | None = None) -> np.ndarray:
        """i32[k]: all examples that were forgotten, or those that one line has forgotten."""
        query = "SELECT line, ids FROM examples JOIN entries ON entry = number WHERE part IS NOT NULL"
        with _tables.connected(self.place) as connection:
            rows = [*connection.execute(query), *connection.execute("SELECT line, ids FROM forgotten")]
        every = [np.frombuffer(ids, np.int32) for at, ids in rows if line in (None, at)]
        return np.unique(np.concatenate([np.zeros(0, np.int32), *every]))

    def account(self, line: str, until: str | None = None) -> Account:
        """What all releases spent, as the next release of `line` must count it; `until` names the last one counted."""
        query = (
            "SELECT line, facts FROM events JOIN entries ON entry = entries.number "
            "WHERE events.state = 'applied' ORDER BY events.number"
        )
        with _tables.connected(self.place) as connection:
            facts = [(at, json.loads(text)) for at, text in connection.execute(query)]
        facts = [(at, one) for at, one in facts if "spent" in one]
        spent = [(at, decoded(Spent, one["spent"])) for at, one in facts]
        if until is not None:
            spent = spent[: 1 + next(i for i, (_, one) in enumerate(facts) if one["part"] == until)]
            spent[-1] = line, replace(spent[-1][1], restores=False)  # its own certificate begins no new account yet
        return account_of(spent, line)

    def latest(self) -> int:
        """The number of the last event "applied"; 0 if there is none."""
        query = "SELECT number FROM events WHERE state = 'applied' ORDER BY number DESC LIMIT 1"
        with _tables.connected(self.place) as connection:
            return next(iter(connection.execute(query)), (0,))[0]

    @property
    def head(self) -> str:
        """The hash of the last event; the root if there is none."""
        with _tables.connected(self.place) as connection:
            return head(connection, self.root)[1]

    def events(self) -> list[Event]:
        """All events, in order."""
        with _tables.connected(self.place) as connection:
            return [Event(*row) for row in connection.execute("SELECT * FROM events ORDER BY number")]

    def check(self) -> None:
        """Raises BadInput unless the chain is whole, and everything beside the events agrees with them."""
        with _tables.connected(self.place) as connection:
            events = [Event(*row) for row in connection.execute("SELECT * FROM events ORDER BY number")]
            rows = {row[0]: row[1:] for row in connection.execute("SELECT * FROM entries")}
            beside = {row[0]: row[1:] for row in connection.execute("SELECT * FROM examples")}
            forgotten = {row[0]: row[1:] for row in connection.execute("SELECT * FROM forgotten")}
            reasons = {row[0]: row[1:] for row in connection.execute("SELECT * FROM reasons")}
            wrong = broken(events, self.root) or disagreement(events, rows, beside, forgotten, reasons)
        if wrong:
            raise BadInput(f"{self.place} is not as it was written ({wrong}); restore it from a copy, or train again")

    def _entries(self, where: str, *values: Any) -> list[Entry]:
        with _tables.connected(self.place) as connection:
            numbers = [
                row[0] for row in connection.execute(f"SELECT number FROM entries {where} ORDER BY number", values)
            ]
            return [entry_of(connection, number) for number in numbers]
