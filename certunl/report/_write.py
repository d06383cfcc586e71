"""The report in a run folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from certunl import disk
from certunl.report._blocks import Reports, pictures
from certunl.report._html import page
from certunl.report._markdown import markdown

__all__ = ["write"]


def write(folder: Path, title: str, facts: dict[str, Any], reports: Reports, warnings: Sequence[str] = ()) -> None:
    """Writes RUN/report.html, and RUN/report.md with its figures in RUN/report/: for the owner alone."""
    drawn = pictures(reports)
    beside = folder / "report"
    beside.mkdir(exist_ok=True, mode=0o700)
    made = {picture.name: picture.png for held in drawn for picture in held}
    for name, png in made.items():
        disk.write_bytes(beside / name, png, mode=0o600)
    disk.write_text(folder / "report.md", markdown(title, facts, reports, warnings, drawn=drawn), mode=0o600)
    disk.write_text(folder / "report.html", page(title, facts, reports, warnings, drawn=drawn), mode=0o600)
    for old in beside.glob("*.png"):
        if old.name not in made:
            old.unlink()
