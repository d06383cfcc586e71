"""The files of the report in a run folder."""

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
    """Writes `folder`/`name`.html, and `folder`/`name`.md with its figures in `folder`/`name`/.

    Only the owner of the folder can read the files. Figures of an earlier report are deleted.
    """
    figures = pictures(reports)
    beside = folder / name
    beside.mkdir(exist_ok=True, mode=0o700)
    contents = {picture.name: picture.png for own in figures for picture in own}
    for picture, png in contents.items():
        disk.write_bytes(beside / picture, png, mode=0o600)
    text = markdown(title, facts, reports, warnings, folder=name, figures=figures)
    disk.write_text(folder / f"{name}.md", text, mode=0o600)
    disk.write_text(folder / f"{name}.html", page(title, facts, reports, warnings, figures=figures), mode=0o600)
    for old in beside.glob("*.png"):
        if old.name not in contents:
            old.unlink()
