"""The report in a run folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from certunl import disk
from certunl.report._blocks import Reports, pictures
from certunl.report._html import page
from certunl.report._markdown import markdown

__all__ = ["write"]


def write(
    folder: Path,
    title: str,
    facts: dict[str, Any],
    reports: Reports,
    warnings: Sequence[str] = (),
    *,
    name: str = "report",
) -> None:
    """Writes RUN/`name`.html, and RUN/`name`.md with its figures in RUN/`name`/: for the owner alone."""
    drawn = pictures(reports)
    beside = folder / name
    beside.mkdir(exist_ok=True, mode=0o700)
    made = {picture.name: picture.png for held in drawn for picture in held}
    for picture, png in made.items():
        disk.write_bytes(beside / picture, png, mode=0o600)
    text = markdown(title, facts, reports, warnings, folder=name, drawn=drawn)
    disk.write_text(folder / f"{name}.md", text, mode=0o600)
    disk.write_text(folder / f"{name}.html", page(title, facts, reports, warnings, drawn=drawn), mode=0o600)
    for old in beside.glob("*.png"):
        if old.name not in made:
            old.unlink()
