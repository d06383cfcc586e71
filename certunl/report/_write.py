"""The files of the report in a run folder."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from certunl import disk
from certunl.errors import one_of
from certunl.evaluation import Report
from certunl.evaluation.findings import every_table
from certunl.evaluation.frame import records
from certunl.evaluation.tables import heading
from certunl.report._blocks import pictures, prefixes
from certunl.report._html import page
from certunl.report._latex import document, latex
from certunl.report._markdown import markdown

__all__ = ["check_formats", "write"]

_OWN = re.compile(
    r"(\d+-)?(\d\d-[\w-]+\.(png|pdf|svg)|(models|audits|class-losses|attacks|rates|left-out)\.(csv|tex))|tables\.tex"
)
"""The names of files that `write` writes."""


def write(
    folder: Path,
    title: str,
    facts: dict[str, Any],
    reports: Sequence[Report],
    warnings: Sequence[str] = (),
    *,
    name: str = "report",
    formats: Sequence[str] = (),
) -> None:
    """Writes `folder`/`name`.html, and `folder`/`name`.md with its figures in `folder`/`name`/.

    Each of `formats` is written beside these figures. Tables as CSV and LaTeX have the names models, audits,
    class-losses, attacks, rates and left-out. models.csv has every number of every model unrounded, as
    `Report.to_frame`, and tables.tex is a document with all tables. Only the owner of the folder can read the files.
    Files of an earlier report are deleted.

    Args:
        folder: an existing folder.
        title: the title of the page.
        facts: settings, versions and so on, by name; they may be nested.
        reports: the Reports, a chapter each.
        warnings: sentences at the top of the page.
        name: the name of the page.
        formats: some of "pdf", "svg", "csv" and "tex". Default: none.

    Raises: BadInput for another format.
    """
    check_formats(formats)
    figures = pictures(reports, [form for form in ("pdf", "svg") if form in formats])
    beside = folder / name
    beside.mkdir(exist_ok=True, mode=0o700)
    contents = {picture.name: picture.png for own in figures for picture in own}
    for picture in (picture for own in figures for picture in own):
        contents |= {f"{picture.name.removesuffix('png')}{form}": content for form, content in picture.more.items()}
    contents |= dict(_tables(reports, formats))
    for file, content in contents.items():
        disk.write_bytes(beside / file, content, mode=0o600)
    text = markdown(title, facts, reports, warnings, folder=name, figures=figures)
    disk.write_text(folder / f"{name}.md", text, mode=0o600)
    disk.write_text(folder / f"{name}.html", page(title, facts, reports, warnings, figures=figures), mode=0o600)
    for old in beside.iterdir():
        if old.name not in contents and _OWN.fullmatch(old.name):
            old.unlink()


def check_formats(formats: Sequence[str]) -> None:
    """Raises BadInput unless each of `formats` is pdf, svg, csv or tex."""
    for form in formats:
        one_of(("pdf", "svg", "csv", "tex"), formats=form)


def _tables(reports: Sequence[Report], formats: Sequence[str]) -> Iterable[tuple[str, bytes]]:
    """(file, content) of each table in each of the two formats for tables."""
    captions = []
    for prefix, report in zip(prefixes(reports), reports, strict=True):
        for name, table in every_table(report).items():
            file = f"{prefix}{name.replace(' ', '-')}"
            captions.append((f"{heading(report)}: {name}", f"{file}.tex"))
            if "csv" in formats:
                lines = [list(line.values()) for line in records(report)] if name == "models" else table.rows
                header = list(records(report)[0]) if name == "models" else table.header
                yield f"{file}.csv", _csv([header, *lines])
            if "tex" in formats:
                yield f"{file}.tex", latex(table).encode()
    if "tex" in formats:
        yield "tables.tex", document(captions).encode()


def _csv(lines: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()
