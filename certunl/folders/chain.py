"""Events of a ledger, each bound to the one before it by a hash."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Event", "broken", "link"]


class Event(NamedTuple):
    """One step of one request.

    Args:
        number: 1, 2, ... along the whole ledger.
        entry: the number of the request; 0 for an event of the whole folder.
        state: "asked", "applied", "released", "erased" or "refused"; "purged" for the whole folder.
        time: when it was recorded, in ISO 8601 and UTC.
        facts: JSON.
        before: the hash of the event before it. The first one has the fingerprint of the run.
        hash: sha256 of all other fields, in hexadecimal.
    """

    number: int
    entry: int
    state: str
    time: str
    facts: str
    before: str
    hash: str


def link(number: int, entry: int, state: str, time: str, facts: str, before: str) -> Event:
    """The event with its hash: sha256 of the lines before, number, entry, state, time and facts."""
    lines = "\n".join((before, str(number), str(entry), state, time, facts))
    return Event(number, entry, state, time, facts, before, hashlib.sha256(lines.encode()).hexdigest())


def broken(events: Iterable[Event], root: str) -> str | None:
    """A sentence on the first event that does not follow from the one before it; None for a whole chain.

    Args:
        events: all events, in order.
        root: the fingerprint of the run that the first event names.
    """
    before = root
    for number, event in enumerate(events, start=1):
        if event.number != number:
            return f"event {number} is missing"
        if event.before != before:
            return f"event {number} does not follow from {f'event {number - 1}' if number > 1 else 'this run'}"
        if link(*event[:6]).hash != event.hash:
            return f"event {number} was edited"
        before = event.hash
    return None
