"""The parts of a run folder: written whole or not at all, for their owner alone where they are secret."""

import re
from pathlib import Path
from typing import Any

from certunl.base import Params
from certunl.disk import load_arrays, read_json, save_arrays, whole, write_json
from certunl.errors import BadInput

__all__ = ["check_name", "exists", "exposed", "load_facts", "load_part", "part_names", "save_part", "secret"]


_NAME = re.compile(r"[A-Za-z][\w.-]{0,63}")
_NUMBERED = re.compile(r"([A-Za-z][\w.-]*)-(\d+)")


def save_part(folder: Path, kind: str, name: str, arrays: Params, facts: dict[str, Any]) -> None:
    """Writes RUN/kind/name whole, replacing what was there; owner-only where it is not a release."""
    place = folder / kind / name
    place.parent.mkdir(exist_ok=True, mode=0o755 if kind == "releases" else 0o700)
    with whole(place, replacing=True) as partial:
        save_arrays(partial / "arrays", arrays)
        write_json(partial / "facts.json", facts)


def secret(folder: Path, kind: str) -> Path:
    """RUN/kind, for the owner alone."""
    (folder / kind).mkdir(exist_ok=True, mode=0o700)
    return folder / kind


def exposed(folder: Path) -> list[str]:
    """What in RUN is secret and may be read by others than its owner, though releases may lie beside it."""
    known = ("arrays", "prepared", "updates", "evaluation.json", "audits.json", "attacked.json", "comparison.json")
    known += tuple(f"{page}{end}" for page in ("report", "comparison") for end in ("", ".html", ".md"))
    return [name for name in known if (folder / name).exists() and (folder / name).stat().st_mode & 0o077]


def load_part(folder: Path, kind: str, name: str) -> tuple[Params, dict[str, Any]]:
    """(arrays, facts) of RUN/kind/name."""
    return load_arrays(folder / kind / name / "arrays"), load_facts(folder, kind, name)


def load_facts(folder: Path, kind: str, name: str) -> dict[str, Any]:
    """The facts of RUN/kind/name alone."""
    return read_json(folder / kind / name / "facts.json", f"{kind}/{name} is half-written; remove it")


def exists(folder: Path, kind: str, name: str) -> bool:
    """Whether RUN/kind/name is there, whole."""
    return (folder / kind / name / "facts.json").is_file()


def part_names(folder: Path, kind: str) -> list[str]:
    """The names in RUN/kind, by lineage and number."""
    found = [m for p in (folder / kind).glob("*") if (m := _NUMBERED.fullmatch(p.name)) and exists(folder, kind, m[0])]
    return [m[0] for m in sorted(found, key=lambda m: (m[1], int(m[2])))]


def check_name(line: str) -> str:
    """`line` where it can name a line of requests, else BadInput."""
    if not _NAME.fullmatch(line):
        raise BadInput(f"a name is 1 to 64 letters, digits, '_', '.' or '-', beginning with a letter; got {line!r}")
    return line
