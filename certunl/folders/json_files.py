"""Files of JSON without NaN, written completely or not at all."""

import json
from pathlib import Path
from typing import Any

from certunl.base import plain
from certunl.disk import write_text
from certunl.errors import BadInput

__all__ = ["as_json", "read_json", "write_json"]

_LARGEST = 2**28
"""The largest file of JSON that is read, in bytes."""


def write_json(path: Path, content: Any, *, mode: int = 0o644) -> None:
    """Writes a JSON file completely or not at all."""
    write_text(path, json.dumps(as_json(content), indent=1, allow_nan=False) + "\n", mode=mode)


def as_json(content: Any) -> Any:
    """`content` as `read_json` would return it: lists for tuples and arrays, None for NaN and infinity."""
    return json.loads(json.dumps(content, default=plain), parse_constant=lambda _: None)


def read_json(path: Path, otherwise: str, *, lists: bool = True) -> Any:
    """The content of a JSON file: an object, or a list if `lists` are taken.

    Raises: BadInput that ends with `otherwise` if the file cannot be read, and later if a missing name is looked up.
    """

    class Facts(dict):
        def __missing__(self, key: str) -> Any:
            raise BadInput(f"{path} has no {key!r}; {otherwise}")

    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
            raise BadInput(f"{path} is no file, a link, or of more than {_LARGEST >> 20} MiB; {otherwise}")
        content = json.loads(path.read_text("utf-8"), object_hook=Facts)
        if not content or not isinstance(content, Facts | list if lists else Facts):
            raise BadInput(f"{path} has no usable content; {otherwise}")
        return content
    except BadInput:
        raise
    except (OSError, ValueError, RecursionError) as error:  # no JSON, no UTF-8, or brackets without end
        raise BadInput(f"{path} cannot be read ({type(error).__name__}); {otherwise}") from error
