"""What the command line draws: tables on stdout, progress on stderr."""

import contextlib
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.progress import Progress as Bar
from rich.table import Table

from certunl.evaluation import Report
from certunl.typing import Progress

__all__ = ["progress", "show"]


def show(report: Report) -> None:
    """A report as a table; one row per metric, so that it fits a terminal."""
    columns = list(zip(*report.cells(), strict=True))
    table = Table(*columns[0], title=f"{report.forgotten} examples forgotten")
    for column in table.columns[1:]:
        column.justify, column.overflow = "right", "fold"  # many releases in a narrow terminal lose no digit
    for row in columns[1:]:
        table.add_row(*row)
    Console().print(table)


@contextlib.contextmanager
def progress(what: str) -> Iterator[Progress | None]:
    """A bar on stderr, or None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
