"""Rows of a ledger, written and read within a transaction."""

import datetime
import json
import secrets
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from certunl.errors import BadInput
from certunl.folders.chain import Event, link
from certunl.folders.decoding import decoded
from certunl.folders.json_files import as_json
from certunl.folders.order import BESIDE, Entry, Order, commitment

__all__ = ["append", "entry_of", "head", "purge", "record"]


def head(connection: sqlite3.Connection, root: str) -> tuple[int, str]:
    """(the number of the last event, its hash)."""
    last = connection.execute("SELECT number, hash FROM events ORDER BY number DESC LIMIT 1").fetchone()
    return last or (0, root)


def append(connection: sqlite3.Connection, root: str, entry: int, state: str, facts: dict[str, Any]) -> None:
    """Adds an event."""
    number, before = head(connection, root)
    if state == "refused":  # the sentence may name an example, so it lies beside the event
        salt, reason = secrets.token_bytes(16), facts["reason"].encode(errors="replace").decode()
        facts = facts | {"reason": commitment(salt, reason, b"")}
        connection.execute("INSERT INTO reasons VALUES (?, ?, ?)", (number + 1, salt, reason))
    time = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    event = link(number + 1, entry, state, time, json.dumps(as_json(facts), allow_nan=False), before)
    connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", event)


def record(
    connection: sqlite3.Connection, root: str, order: Order, ids: np.ndarray, group: int | None, nameless: bool
) -> int:
    """The number of the entry of `order`, after its event "asked". `group` is that of the first of several."""
    row = connection.execute("SELECT number, state FROM entries WHERE id = ?", (order.id,)).fetchone()
    if row is not None and row[1] != "refused":
        raise BadInput(f"the id {order.id} names another request; give this one an id of its own")
    if row is None:
        number = connection.execute("SELECT coalesce(max(number), 0) + 1 FROM entries").fetchone()[0]
        values = number, order.id, order.line, "asked", None, not nameless
        connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", values)
    else:
        number = row[0]
        connection.execute("UPDATE entries SET state = 'asked', line = ? WHERE number = ?", (order.line, number))
    fields, numbers = as_json(asdict(order)), np.asarray(ids, np.int32).tobytes()
    beside, salt = json.dumps({name: fields.pop(name) for name in BESIDE}), secrets.token_bytes(16)
    facts = fields | {"size": len(ids), "examples": commitment(salt, beside, numbers), "group": group or number}
    append(connection, root, number, "asked", facts)
    connection.execute("INSERT OR REPLACE INTO examples VALUES (?, ?, ?, ?)", (number, beside, salt, numbers))
    return number


def entry_of(connection: sqlite3.Connection, number: int) -> Entry:
    """The entry of this number."""
    query = "SELECT * FROM events WHERE entry = ? ORDER BY number"
    events = tuple(Event(*row) for row in connection.execute(query, (number,)))
    facts = {event.state: json.loads(event.facts) for event in events}
    if events[-1].state == "refused":
        reason = connection.execute("SELECT reason FROM reasons WHERE event = ?", (events[-1].number,)).fetchone()
        facts["refused"]["reason"] = reason[0] if reason else "a reason that was purged"
    row = connection.execute("SELECT beside, ids FROM examples WHERE entry = ?", (number,)).fetchone()
    beside, ids = (json.loads(row[0]), np.frombuffer(row[1], np.int32)) if row else ({}, None)
    order = decoded(Order, facts["asked"] | beside)
    return Entry(number=number, order=order, size=facts["asked"]["size"], ids=ids, events=events, facts=facts)


def purge(connection: sqlite3.Connection, root: str, facts: dict[str, Any]) -> int:
    """Moves the examples of finished requests into one set for each line. The number of requests."""
    lines: dict[str, list[np.ndarray]] = {}
    query = "SELECT entry, line, ids, part FROM examples JOIN entries ON entry = number WHERE state IN (?, ?)"
    rows = connection.execute(query, ("erased", "refused")).fetchall()
    for line, ids in _forgotten(connection):
        lines.setdefault(line, []).append(ids)
    for _, line, ids, part in rows:
        if part is not None:
            lines.setdefault(line, []).append(np.frombuffer(ids, np.int32))
    hashes = {}
    for line, every in lines.items():
        salt, ids = secrets.token_bytes(16), np.unique(np.concatenate(every)).tobytes()
        hashes[line] = commitment(salt, line, ids)
        connection.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?, ?)", (line, salt, ids))
    numbers = [row[0] for row in rows]
    connection.executemany("DELETE FROM examples WHERE entry = ?", [(number,) for number in numbers])
    connection.execute("DELETE FROM reasons")
    append(connection, root, 0, "purged", facts | {"requests": numbers, "forgotten": hashes})
    return len(numbers)


def _forgotten(connection: sqlite3.Connection) -> Iterable[tuple[str, np.ndarray]]:
    for line, ids in connection.execute("SELECT line, ids FROM forgotten"):
        yield line, np.frombuffer(ids, np.int32)
