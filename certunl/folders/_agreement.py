"""Whether everything in a ledger has the form that this program gives it, and agrees with the events."""

import json
from collections.abc import Sequence
from typing import Any

from certunl.folders.chain import Event
from certunl.folders.order import commitment
from certunl.folders.parts import is_name, is_numbered

__all__ = ["disagreement"]

_FACTS: dict[str, dict[str, Any]] = {
    "asked": {"id": str, "line": str, "method": str, "settings": dict, "budget": dict, "size": int, "examples": str},
    "applied": {"part": str, "public": dict},
    "released": {"part": str, "place": str},
    "erased": {},
    "refused": {"reason": str},
    "purged": {"updates": list, "model": bool, "requests": list, "forgotten": dict},
}
"""The facts of each state, and their types."""

_OF_A_RELEASE = ("arrays", "release", "spent", "certificate", "guarantee", "printed", "params", "before", "entries")


def disagreement(
    events: Sequence[Event],
    rows: dict[int, Any],
    beside: dict[int, Any],
    forgotten: dict[str, Any],
    reasons: dict[int, Any],
) -> str | None:
    """A sentence on the first thing that is not as it should be; None if there is none.

    Args:
        events: all events.
        rows: number -> (id, line, state, part, told) of the table of entries.
        beside: number -> (text, salt, ids) of the table of examples.
        forgotten: line -> (salt, ids) of the table of forgotten examples.
        reasons: number of the event -> (salt, text) of the table of reasons.
    """
    expected: dict[int, Any] = {}
    examples: dict[int, str] = {}
    refused: dict[int, str] = {}
    gone: set[int] = set()
    lines: dict[str, str] = {}
    for event in events:
        facts = json.loads(event.facts)
        if not _formed(event, facts):
            return f"event {event.number} has facts of another form"
        if event.state == "purged":
            gone |= {*facts["requests"]}
            lines = facts["forgotten"]
            refused.clear()
            continue
        if event.state == "refused":
            refused[event.number] = facts["reason"]
        old = expected.get(event.entry, ("", "", "", None))
        if event.state == "asked":
            old = (facts["id"], facts["line"], "", old[3])
            examples[event.entry] = facts["examples"]
            gone -= {event.entry}  # refused, purged, and asked again
        expected[event.entry] = (*old[:2], event.state, facts.get("part", old[3]))
    there = {number: row[:4] for number, row in rows.items()}  # whether it was told is no event
    if wrong := sorted(n for n in expected.keys() | there.keys() if expected.get(n) != there.get(n)):
        return f"request {wrong[0]} does not agree with its events"
    if wrong := sorted({*beside} ^ ({*expected} - gone)):
        return f"the examples of request {wrong[0]} are missing, or too many"
    for number, (text, salt, ids) in beside.items():
        if commitment(salt, text, ids) != examples[number]:
            return f"the examples of request {number} were edited"
    if refused != {number: commitment(salt, text, b"") for number, (salt, text) in reasons.items()}:
        return "the reason of a refusal was edited"
    if lines != {line: commitment(salt, line, ids) for line, (salt, ids) in forgotten.items()}:
        return "the forgotten examples of purged requests were edited"
    return None


def _formed(event: Event, facts: Any) -> bool:
    """Whether the facts of an event have its names and types."""
    kinds = _FACTS.get(event.state)
    if kinds is None or not isinstance(facts, dict) or (event.entry == 0) != (event.state == "purged"):
        return False
    if not all(isinstance(facts.get(name), kind) for name, kind in kinds.items()):
        return False
    if event.state == "asked" and not is_name(facts["line"]):
        return False
    if event.state == "applied" and "entries" in facts and not all(name in facts for name in _OF_A_RELEASE):
        return False
    names = [facts["part"]] if "part" in facts else facts.get("updates", [])
    return all(isinstance(name, str) and is_numbered(name) for name in names)
