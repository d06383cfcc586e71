"""The parts of a run folder: updates and releases, each with arrays and facts, written whole or not at all."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from certunl.base import Params, digest
from certunl.disk import flush, permit, remove_leftovers, whole
from certunl.errors import BadInput
from certunl.folders.arrays import load_arrays, save_arrays
from certunl.folders.json_files import as_json, read_json, write_json

__all__ = ["RESTORE", "Parts", "check_name", "is_name", "is_numbered", "number_of", "ordered"]

RESTORE = "restore it from a copy, or begin a new line (--name)"
_NAME = re.compile(r"[A-Za-z][\w.-]{0,63}", re.ASCII)
_NUMBERED = re.compile(r"([A-Za-z][\w.-]*)-(\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class Parts:
    """All parts of one kind. A part is named after its line of requests and its number in it: "newton-2".

    Args:
        place: the folder that holds them, such as RUN/updates.
        public: whether others than the owner may read it. Default: no.
    """

    place: Path
    public: bool = False

    def save(
        self, name: str, arrays: Params, facts: dict[str, Any], release: Params = None, states: Params = None
    ) -> dict[str, Any]:
        """Writes a part whole, with digests of its name, facts and arrays. Returns the facts that were written.

        Args:
            name: its name.
            arrays: a pytree of arrays.
            facts: what is known of it, ready for JSON.
            release: the arrays of a release that waits in the part to be published. Default: none.
            states: the states of a replay, as nested dictionaries. Default: none.

        Raises: BadInput if the name is taken.
        """
        self._make()
        # faster than from a device
        arrays, release, states = (jax.tree.map(np.asarray, tree) for tree in (arrays, release, states))
        with whole(self.place / name, private=not self.public) as partial:
            facts = facts | {"part": name, "arrays": save_arrays(partial / "arrays", arrays)}
            if release is not None:
                (partial / "release").mkdir()
                facts["release"] = save_arrays(partial / "release" / "arrays", release)
            if states is not None:
                facts["states"] = save_arrays(partial / "states", states)
            facts = as_json(facts)
            write_json(partial / "facts.json", facts | {"digest": digest(facts, ())})
        return facts

    def adopt(self, name: str, staged: Path, facts: dict[str, Any], arrays: str) -> None:
        """Makes the folder `staged` a part, with `facts` and the digest `arrays` of its arrays."""
        self._make()
        remove_leftovers(staged)  # it will be read by others
        permit(staged, public=True)
        facts = as_json(facts | {"part": name, "arrays": arrays})
        write_json(staged / "facts.json", facts | {"digest": digest(facts, ())})
        os.rename(staged, self.place / name)
        flush(self.place)
        flush(staged.parent)

    def load(self, name: str) -> tuple[Params, dict[str, Any]]:
        """(arrays, facts) of a part. Raises: BadInput if it is missing, damaged, or not what `save` wrote."""
        facts = self.facts(name)
        return self.arrays(name, facts["arrays"]), facts

    def arrays(self, name: str, digest: str) -> Params:
        """The arrays of a part, whose files must have the `digest`. Raises: BadInput if they have not."""
        return load_arrays(self.place / name / "arrays", digest)

    def states(self, name: str, digest: str) -> Params:
        """The states of a part, whose files must have the `digest`. Raises: BadInput if they have not."""
        return load_arrays(self.place / name / "states", digest)

    def compared(self, name: str, expected: dict[str, Any]) -> None:
        """Raises BadInput if the facts or the arrays of a part are not those that the ledger has."""
        facts = self.facts(name)
        if wrong := [key for key, value in expected.items() if facts.get(key) != value]:
            raise BadInput(f"{self.place.name}/{name} has another {wrong[0]!r} than the ledger; {RESTORE}")
        self.arrays(name, expected["arrays"])
        if "states" in expected:
            self.states(name, expected["states"])

    def facts(self, name: str, *, part: str | None = None) -> dict[str, Any]:
        """The facts of a part, without its arrays. `part` is the name that it was written under (default: `name`).

        Raises: BadInput if they are missing or not what `save` wrote.
        """
        cure = f"{self.place.name}/{name} is damaged; {RESTORE}"
        facts = read_json(self.place / name / "facts.json", cure, lists=False)
        written = {key: value for key, value in facts.items() if key != "digest"}
        if facts["digest"] != digest(written, ()) or facts["part"] != (part or name):
            raise BadInput(f"the facts of {self.place.name}/{name} are not those that were written; {RESTORE}")
        return facts

    def __contains__(self, name: str) -> bool:
        return (self.place / name / "facts.json").is_file()

    def names(self) -> list[str]:
        """The names of all parts, sorted by line and number, and of anything else that has such a name."""
        return ordered(path.name for path in self.place.glob("*"))

    def _make(self) -> None:
        if not self.place.exists():
            self.place.mkdir(mode=0o755 if self.public else 0o700)
            flush(self.place.parent)


def ordered(names: Iterable[str]) -> list[str]:
    """The names of parts, sorted by line and number. Other names are left out."""
    numbered = [m for name in names if (m := _NUMBERED.fullmatch(name))]
    return [m[0] for m in sorted(numbered, key=lambda m: (m[1], int(m[2])))]


def number_of(name: str) -> int:
    """The number of a part in its line."""
    return int(name.rpartition("-")[2])


def is_name(line: Any) -> bool:
    """Whether `line` can name a line of requests."""
    return isinstance(line, str) and _NAME.fullmatch(line) is not None


def is_numbered(name: str) -> bool:
    """Whether `name` can name a part, so that it leads nowhere else."""
    return (match := _NUMBERED.fullmatch(name)) is not None and is_name(match[1])


def check_name(line: str) -> str:
    """`line` itself. Raises: BadInput if it cannot name a line of requests."""
    if not _NAME.fullmatch(line):
        raise BadInput(f"a name is 1 to 64 letters, digits, '_', '.' or '-', beginning with a letter; got {line!r}")
    return line
