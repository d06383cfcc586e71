"""The page as Markdown, with its figures in files beside it."""

import re
from collections.abc import Sequence
from typing import Any

from certunl.evaluation import Report
from certunl.evaluation.tables import Table
from certunl.report._blocks import Alarm, Block, Heading, Pictures, Printed, Words, blocks, pictures
from certunl.report._draw import Picture

__all__ = ["markdown"]


def markdown(
    title: str,
    facts: dict[str, Any],
    reports: Sequence[Report],
    warnings: Sequence[str] = (),
    *,
    folder: str = "report",
    figures: list[list[Picture]] | None = None,
) -> str:
    """The same page as `page`, in Markdown. The figures are links to `folder`/NAME; `figures` has their contents."""
    parts = blocks(title, facts, reports, warnings, pictures(reports) if figures is None else figures)
    return "\n\n".join(text for block in parts if (text := _shown(block, folder))) + "\n"


def _shown(block: Block, folder: str) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {_plain(text)}"
        case Words(text):
            return _plain(text)
        case Alarm(text, kind):
            return f"> **{kind.capitalize()}.** {_plain(text)}"
        case Printed(text):
            # a longer fence than any in the text, which would end the block
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            return f"{fence}text\n{text}\n{fence}"
        case Pictures(figures):
            captions = [(_plain(picture.said), picture.name) for picture in figures]
            return "\n\n".join(f"![{caption}]({folder}/{name})\n\n*{caption}*" for caption, name in captions)
        case Table():
            return _table(block)


def _table(table: Table) -> str:
    sides = [":--" if column == 0 or column in table.words else "--:" for column in range(len(table.header))]
    rows = [[_cell(table, i, j) for j in range(len(row))] for i, row in enumerate(table.rows)]
    lines = [f"| {' | '.join(cells)} |" for cells in ([_plain(cell) for cell in table.header], sides, *rows)]
    return "\n".join(lines) + "".join(f"\n\n{_plain(note)}" for note in (table.note, table.key) if note)


def _cell(table: Table, i: int, j: int) -> str:
    text = _plain(table.rows[i][j])
    below = f" {_plain(table.small[i, j])}" if (i, j) in table.small else ""
    return (f"**{text}**" if (i, j) in table.marks else text) + below


def _plain(text: str) -> str:
    """`text` on one line, escaped so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$!&])", r"\\\1", " ".join(text.split()))
