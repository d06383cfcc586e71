"""The parts of a run folder: updates and releases, each with arrays and facts, written whole or not at all."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certunl.base import Params, digest
from certunl.disk import as_json, read_json, whole, write_json
from certunl.errors import BadInput
from certunl.folders.arrays import load_arrays, save_arrays

__all__ = ["Parts", "check_name", "ordered"]

_RESTORE = "restore it from a copy, or begin a new line (--name)"
_NAME = re.compile(r"[A-Za-z][\w.-]{0,63}")
_NUMBERED = re.compile(r"([A-Za-z][\w.-]*)-(\d+)")


@dataclass(frozen=True)
class Parts:
    """All parts of one kind. A part is named after its line of requests and its number in it: "newton-2".

    Args:
        place: the folder that holds them, such as RUN/updates.
        public: whether others than the owner may read it. Default: no.
    """

    place: Path
    public: bool = False

    def save(self, name: str, arrays: Params, facts: dict[str, Any]) -> None:
        """Writes a part whole, with digests of its name, facts and arrays. Raises: BadInput if the name is taken."""
        self.place.mkdir(exist_ok=True, mode=0o755 if self.public else 0o700)
        with whole(self.place / name) as partial:
            facts = as_json(facts | {"part": name, "arrays": save_arrays(partial / "arrays", arrays)})
            write_json(partial / "facts.json", facts | {"digest": digest(facts, ())})

    def load(self, name: str) -> tuple[Params, dict[str, Any]]:
        """(arrays, facts) of a part. Raises: BadInput if it is missing, damaged, or not what `save` wrote."""
        facts = self.facts(name)
        return load_arrays(self.place / name / "arrays", facts.get("arrays")), facts

    def facts(self, name: str) -> dict[str, Any]:
        """The facts of a part, without its arrays. Raises: BadInput if they are missing or not what `save` wrote."""
        facts = read_json(self.place / name / "facts.json", f"{self.place.name}/{name} is damaged; {_RESTORE}")
        if not {"part", "arrays", "digest"} & facts.keys():
            return facts  # version 0.1 wrote no digests
        written = {key: value for key, value in facts.items() if key != "digest"}
        if facts["digest"] != digest(written, ()) or facts["part"] != name:
            raise BadInput(f"the facts of {self.place.name}/{name} are not those that were written; {_RESTORE}")
        return facts

    def __contains__(self, name: str) -> bool:
        return (self.place / name / "facts.json").is_file()

    def names(self, line: str | None = None) -> list[str]:
        """The names of all parts, or of those of one line, sorted by line and number."""
        here = ordered(path.name for path in self.place.glob("*") if path.name in self)
        return [name for name in here if line in (None, name.rpartition("-")[0])]


def ordered(names: Iterable[str]) -> list[str]:
    """The names of parts, sorted by line and number. Other names are left out."""
    numbered = [m for name in names if (m := _NUMBERED.fullmatch(name))]
    return [m[0] for m in sorted(numbered, key=lambda m: (m[1], int(m[2])))]


def check_name(line: str) -> str:
    """`line` itself. Raises: BadInput if it cannot name a line of requests."""
    if not _NAME.fullmatch(line):
        raise BadInput(f"a name is 1 to 64 letters, digits, '_', '.' or '-', beginning with a letter; got {line!r}")
    return line
