"""The facts of a store: what its rows are, and whose."""

from typing import Any

from certunl.base import Params
from certunl.errors import BadInput
from certunl.rows import packing
from certunl.rows.files import Files

__all__ = ["facts_of", "identity"]

_FORMAT = 3  # 2 listed the erased rows


def identity(like: Params, fingerprint: str, form: str) -> dict[str, Any]:
    """The facts in which two stores of the same rows agree."""
    return {"format": _FORMAT, "fingerprint": fingerprint, "form": form, "parameters": packing.described(like)}


def facts_of(files: Files, expected: dict[str, Any]) -> dict[str, Any]:
    """The facts in store.json. Raises: BadInput if there are none, or if they differ from the `expected` ones."""
    if (facts := files.note("store.json")) is None:
        raise BadInput(f"there is no store in {files.place}, or a half-written one; prepare the run into it")
    if (version := facts.get("format")) != _FORMAT:
        raise BadInput(f"{files.place} has format {version}, this version reads {_FORMAT}; remove it, prepare again")
    for name, value in expected.items():
        if (stored := facts.get(name)) != value:
            both = f" ({stored}, not {value})" if isinstance(value, int | str) else ""
            other = "belongs to another run" if name == "fingerprint" else f"is a store of other {name}{both}"
            raise BadInput(f"{files.place} {other}; use the settings it was created with, or choose another place")
    return facts
