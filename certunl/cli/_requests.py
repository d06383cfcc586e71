"""Requests as JSON, and their answers."""

import json
from typing import Any

import numpy as np

from certunl.base import Key
from certunl.errors import BadInput
from certunl.folders import Entry, Line
from certunl.requests import listed, parse

__all__ = ["BUDGET", "answer", "examples", "fields", "id_of", "refusal"]

BUDGET = ("epsilon", "delta", "distance", "sigma")
_KNOWN = ("id", "ids", "owner", "request", "reason", *BUDGET)


def examples(line: Line, words: str, key: Key) -> np.ndarray:
    """The examples that a request in words names, draws from `key` or chooses, i32[k].

    Raises: the errors of `requests.parse`; BadInput for a choice by a trained model that was purged.
    """
    if not line.after and line.folder.purged and words.startswith(("hardest:", "influential:")):
        raise BadInput("the trained model was purged, and nothing else tells which examples these are; name them")
    context = line.folder.built.mislabelled, line.folder.owner_names, line.folder.splits.rows
    return parse(words, key, line.run, *context)


def id_of(text: str) -> str | None:
    """The id that a request names, whatever else is wrong with it."""
    try:
        facts = json.loads(text)
        return facts["id"] if isinstance(facts["id"], str) else None
    except (ValueError, RecursionError, TypeError, LookupError):
        return None


def fields(text: str) -> dict[str, Any]:
    """The fields of a request: its id or None, words, reason, and those of the budget that it names.

    Raises: BadInput for text of another form.
    """
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"this is no JSON ({error})") from error
    if not isinstance(facts, dict):
        raise BadInput('a request is a JSON object, such as {"id": "ORDER-17", "ids": [4, 8]}')
    if unknown := sorted({*facts} - {*_KNOWN}):
        raise BadInput(f"a request has no {unknown[0]!r}; it has {', '.join(_KNOWN)}")
    budget = {name: facts[name] for name in BUDGET if facts.get(name) is not None}
    if not isinstance(facts.get("id", ""), str | None):
        raise BadInput(f"an id is a text, got {facts['id']!r}")
    return {"id": facts.get("id"), "words": _words(facts), "reason": str(facts.get("reason") or ""), "budget": budget}


def _words(facts: dict[str, Any]) -> str:
    """The words of a request with exactly one of ids, owner and request."""
    named = [name for name in ("ids", "owner", "request") if name in facts]
    if len(named) != 1:
        raise BadInput(f"a request names one of ids, owner and request, got {', '.join(named) or 'none'}")
    value = facts[named[0]]
    if named == ["request"]:
        if not isinstance(value, str) or ":@" in value:
            raise BadInput(f'request must be words such as "random:4", and no file, got {value!r}')
        return value
    values = value if isinstance(value, list) else [value]
    kinds = int if named == ["ids"] else int | str
    if not values or not all(isinstance(one, kinds) and not isinstance(one, bool) for one in values):
        what = "whole numbers" if named == ["ids"] else "names of owners"
        raise BadInput(f"{named[0]} must be one or more {what}, got {value!r}")
    return f"{named[0]}:{listed(values)}"  # a name that begins with @ is no file


def answer(entry: Entry) -> dict[str, Any]:
    """What became of a request."""
    facts = {"id": entry.order.id, "state": entry.state, "entry": entry.number}
    if entry.state == "refused":
        return facts | {"head": entry.events[-1].hash, "reason": entry.facts["refused"]["reason"]}
    if entry.state != "erased":
        return facts | {"head": entry.events[-1].hash, "reason": "it is recorded and waits; it is answered later"}
    return {
        **facts,
        "examples": entry.size,
        "head": entry.head,
        "release": entry.facts["released"].get("place", f"releases/{entry.part}"),
        "certificate": entry.facts["applied"]["public"],
    }


def refusal(identity: str | None, error: Exception) -> dict[str, Any]:
    """The answer to a request that was not recorded."""
    return {"id": identity, "state": "refused", "reason": str(error)}
