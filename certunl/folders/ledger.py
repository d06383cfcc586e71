"""The ledger: a SQLite file with every request to a run folder."""

import datetime
import json
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from certunl import disk
from certunl.certificates.account import Account
from certunl.certificates.budget import Budget
from certunl.errors import BadInput
from certunl.folders import _tables
from certunl.folders.chain import Event, broken, link
from certunl.folders.decoding import decoded
from certunl.folders.order import FINAL, Entry, Order, commitment
from certunl.folders.spending import Spent, account_of

__all__ = ["Ledger"]

_SHARED = ("part", "place", "public", "reason")
_ANY = Budget(sigma=1.0, delta=0.5)  # of no meaning


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

    def ask(self, orders: Sequence[tuple[Order, np.ndarray]]) -> list[Entry]:
        """Records requests, in one transaction. A refused request may be asked again under its id.

        Args:
            orders: each with the examples that it names, i32[k].

        Raises: BadInput if an id was used before.
        """
        with _tables.connected(self.place, write=True) as connection:
            numbers = [_record(connection, self.root, order, ids) for order, ids in orders]
        return [self.entry(number) for number in numbers]

    def add(self, entries: Sequence[Entry], state: str, facts: dict[str, Any]) -> list[Entry]:
        """Adds one event to each of `entries`, in one transaction. Returns the entries as they are now.

        Only the first has all `facts`; the others have those that an answer needs.
        """
        with _tables.connected(self.place, write=True) as connection:
            for i, entry in enumerate(entries):
                own = facts if i == 0 else {name: facts[name] for name in _SHARED if name in facts}
                _append(connection, self.root, entry.number, state, own)
                connection.execute("UPDATE entries SET state = ? WHERE number = ?", (state, entry.number))
                if "part" in own:
                    connection.execute("UPDATE entries SET part = ? WHERE number = ?", (own["part"], entry.number))
        return [self.entry(entry.number) for entry in entries]

    def purge(self, facts: dict[str, Any]) -> int:
        """Removes which request named which examples, and all words. The numbers of the forgotten examples stay, by
        line, because a second request for them must be refused. The number of requests purged."""
        with _tables.connected(self.place, write=True) as connection:
            lines: dict[str, list[np.ndarray]] = {}
            finished = "entry IN (SELECT number FROM entries WHERE state IN ('erased', 'refused'))"
            query = f"SELECT line, ids, state FROM examples JOIN entries ON entry = number WHERE {finished}"
            for line, ids, state in connection.execute(query):
                if state == "erased":
                    lines.setdefault(line, []).append(np.frombuffer(ids, np.int32))
            for line, ids in connection.execute("SELECT line, ids FROM forgotten"):
                lines.setdefault(line, []).append(np.frombuffer(ids, np.int32))
            for line, every in lines.items():
                row = line, np.unique(np.concatenate(every)).tobytes()
                connection.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?)", row)
            count = connection.execute(f"DELETE FROM examples WHERE {finished}").rowcount
            _append(connection, self.root, 0, "purged", facts | {"requests": count})
        return count

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

    def parts(self, line: str | None = None) -> list[str]:
        """The names of all updates, in the order in which they were made; or those of one line."""
        return list(dict.fromkeys(name for name, at in self._parts() if line in (None, at)))

    def leaders(self) -> list[Entry]:
        """The entries whose facts tell of a release. Of a group of requests with one release, that is the first."""
        return [entry for entry in self.entries() if "certificate" in entry.facts.get("applied", {})]

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
            "SELECT line, facts FROM events JOIN entries ON entries.number = entry "
            "WHERE events.state = 'applied' ORDER BY events.number"
        )
        with _tables.connected(self.place) as connection:
            facts = [(at, json.loads(text)) for at, text in connection.execute(query)]
        facts = [(at, one) for at, one in facts if "spent" in one]
        if until is not None:
            facts = facts[: 1 + next(i for i, (_, one) in enumerate(facts) if one["part"] == until)]
        return account_of(((at, decoded(Spent, one["spent"])) for at, one in facts), line)

    def latest(self) -> int:
        """The number of the last event "applied"; 0 if there is none."""
        query = "SELECT number FROM events WHERE state = 'applied' ORDER BY number DESC LIMIT 1"
        with _tables.connected(self.place) as connection:
            return next(iter(connection.execute(query)), (0,))[0]

    @property
    def head(self) -> str:
        """The hash of the last event; the root if there is none."""
        with _tables.connected(self.place) as connection:
            return _head(connection, self.root)[1]

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
            wrong = broken(events, self.root) or _contradicted(events, rows, beside)
        if wrong:
            raise BadInput(f"{self.place} is not as it was written ({wrong}); restore it from a copy, or train again")

    def _parts(self) -> Iterable[tuple[str, str]]:
        with _tables.connected(self.place) as connection:
            query = "SELECT part, line FROM entries WHERE part IS NOT NULL ORDER BY number"
            return connection.execute(query).fetchall()

    def _entries(self, where: str, *values: Any) -> list[Entry]:
        with _tables.connected(self.place) as connection:
            numbers = [
                row[0] for row in connection.execute(f"SELECT number FROM entries {where} ORDER BY number", values)
            ]
            return [_entry(connection, number) for number in numbers]


def _record(connection: sqlite3.Connection, root: str, order: Order, ids: np.ndarray) -> int:
    """The number of the entry of `order`, after its event "asked"."""
    row = connection.execute("SELECT number, state FROM entries WHERE id = ?", (order.id,)).fetchone()
    if row is not None and row[1] != "refused":
        raise BadInput(f"the id {order.id} names another request; give this one an id of its own")
    if row is None:
        number = connection.execute("SELECT coalesce(max(number), 0) + 1 FROM entries").fetchone()[0]
        values = number, order.id, order.line, "asked", None
        connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", values)
    else:
        number = row[0]
        connection.execute("UPDATE entries SET state = 'asked', line = ? WHERE number = ?", (order.line, number))
    salt, ids = secrets.token_bytes(16), np.asarray(ids, np.int32)
    facts = asdict(order) | {"size": len(ids), "examples": commitment(salt, order, ids)}
    _append(connection, root, number, "asked", {k: v for k, v in facts.items() if k not in ("words", "reason")})
    row = number, order.words, order.reason, salt, ids.tobytes()
    connection.execute("INSERT OR REPLACE INTO examples VALUES (?, ?, ?, ?, ?)", row)
    return number


def _head(connection: sqlite3.Connection, root: str) -> tuple[int, str]:
    """(the number of the last event, its hash)."""
    last = connection.execute("SELECT number, hash FROM events ORDER BY number DESC LIMIT 1").fetchone()
    return last or (0, root)


def _append(connection: sqlite3.Connection, root: str, entry: int, state: str, facts: dict[str, Any]) -> None:
    number, before = _head(connection, root)
    time = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    event = link(number + 1, entry, state, time, json.dumps(disk.as_json(facts), allow_nan=False), before)
    connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", event)


def _entry(connection: sqlite3.Connection, number: int) -> Entry:
    query = "SELECT * FROM events WHERE entry = ? ORDER BY number"
    events = tuple(Event(*row) for row in connection.execute(query, (number,)))
    facts = {event.state: json.loads(event.facts) for event in events}
    query = "SELECT words, reason, ids FROM examples WHERE entry = ?"
    words, reason, ids = connection.execute(query, (number,)).fetchone() or ("", "", None)
    order = decoded(Order, facts["asked"] | {"words": words, "reason": reason})
    ids = None if ids is None else np.frombuffer(ids, np.int32)
    return Entry(number=number, order=order, size=facts["asked"]["size"], ids=ids, events=events, facts=facts)


def _contradicted(events: Sequence[Event], rows: dict[int, Any], beside: dict[int, Any]) -> str | None:
    """A sentence on the first entry that does not agree with the events; None if there is none."""
    expected: dict[int, Any] = {}
    examples: dict[int, str] = {}
    for event in events:
        if event.entry:
            facts = json.loads(event.facts)
            old = expected.get(event.entry, ("", "", "", None))
            names = (facts["id"], facts["line"]) if event.state == "asked" else old[:2]
            expected[event.entry] = (*names, event.state, facts.get("part", old[3]))
            examples[event.entry] = facts.get("examples", examples.get(event.entry))
    if wrong := sorted(n for n in expected.keys() | rows.keys() if expected.get(n) != rows.get(n)):
        return f"request {wrong[0]} does not agree with its events"
    for number, (words, reason, salt, ids) in beside.items():
        order = Order(id="any", line="", method="", settings={}, budget=_ANY, words=words, reason=reason)
        if commitment(salt, order, np.frombuffer(ids, np.int32)) != examples.get(number):
            return f"the examples of request {number} were edited"
    return None
