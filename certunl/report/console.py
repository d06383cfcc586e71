"""Tables on stdout and progress on stderr, for the command line."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from certunl.base import Progress
from certunl.evaluation import Report
from certunl.evaluation.findings import alarms, areas, claims, power
from certunl.evaluation.lead import lead
from certunl.evaluation.tables import Table as Cells
from certunl.evaluation.tables import heading, main, turned

__all__ = ["progress", "show"]


def show(report: Report) -> None:
    """Prints `report` as tables no wider than the terminal, with alarms, metrics, audits, attacks and controls."""
    console = Console()
    console.print(Text(f"\n{heading(report)}", "bold"))
    console.print(Text(lead(report)))
    for sentence in alarms(report):
        console.print(Text(sentence, "bold red"))
    lines = main(report)
    if report.seeds > 1:
        rows = [list(row) for row in lines.rows]
        for (i, j), spread in lines.small.items():
            rows[i][j] += f" {spread}"
        lines = replace(lines, rows=rows, note=f"{lines.note}; {lines.key}")
    beside = turned(lines)
    _blocks(console, beside if _fits(beside, range(len(beside.header)), console) else lines)
    if report.audits:
        audits = claims(report)
        _blocks(console, replace(audits, header=audits.header[:-2], rows=[row[:-2] for row in audits.rows]))
    if report.attacks or report.controls:
        _blocks(console, areas(report))
        _blocks(console, power(report))
    for name, why in report.left_out.items():
        console.print(Text(f"left out: {name}: {why}"))


def _blocks(console: Console, table: Cells) -> None:
    """Prints a table in parts, each with the first column and as many others as fit, and then its note."""
    left = list(range(1, len(table.header)))
    while left:
        fitting = 1
        while fitting < len(left) and _fits(table, [0, *left[: fitting + 1]], console):
            fitting += 1
        console.print(_drawn(table, [0, *left[:fitting]]))
        left = left[fitting:]
    console.print(Text(f"  {table.note}\n", "dim"))


def _width(table: Cells, column: int) -> int:
    """The width of the widest cell, or of the longest word of the header; at most 40."""
    cells = [line[column] for line in table.rows] + table.header[column].split()
    return min(40, max(map(cell_len, cells), default=0))


def _fits(table: Cells, columns: Iterable[int], console: Console) -> bool:
    return 2 + sum(2 + _width(table, column) for column in columns) <= console.width


def _drawn(table: Cells, columns: list[int]) -> Table:
    """`columns` of `table` for the terminal."""
    printed = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        side, width = "left" if column == 0 or column in table.words else "right", _width(table, column)
        header = Text(table.header[column])
        printed.add_column(header, justify=side, overflow="fold", max_width=width, vertical="middle")
    for i, row in enumerate(table.rows):
        printed.add_row(*(Text(row[j], "bold red" if table.marks.get((i, j)) == "bad" else "") for j in columns))
    return printed


@contextlib.contextmanager
def progress(what: str) -> Iterator[Progress | None]:
    """A progress bar on stderr, or None if stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
