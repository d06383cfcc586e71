"""A Report as tables of text, for HTML, Markdown and the terminal."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from certunl.evaluation.intervals import wilson
from certunl.evaluation.shading import shade

if TYPE_CHECKING:
    from certunl.evaluation.report import Report

__all__ = [
    "Table",
    "beside",
    "by_class",
    "class_losses",
    "deviation",
    "heading",
    "main",
    "number",
    "refuted",
    "turned",
]

_FEW = 6
"""Up to this many models are columns of the main table; more models are lines."""
_COST = ("seconds", "solver_residual")
_CLASS = re.compile(r"class_(.+)_([^_]+)_accuracy")
_CLASS_LOSS = re.compile(r"class_(.+)_([^_]+)_loss")


@dataclass(frozen=True)
class Table:
    """A table of text.

    Args:
        header: the names of the columns.
        rows: the lines, as many cells each as `header` has.
        note: a sentence below the table.
        marks: `marks[row, column]`, "bad" or "odd" for a cell that is highlighted.
        small: `small[row, column]`, an interval or a deviation that stands smaller below the number.
        shades: `shades[row, column]`, the difference to retraining from -1 to 1, for the colour of the cell.
        key: what `small` is.
        words: the columns of prose, which are aligned at the left.
    """

    header: list[str]
    rows: list[list[str]]
    note: str = ""
    marks: dict[tuple[int, int], str] = field(default_factory=dict)
    words: tuple[int, ...] = ()
    small: dict[tuple[int, int], str] = field(default_factory=dict)
    shades: dict[tuple[int, int], float] = field(default_factory=dict)
    key: str = ""


def heading(report: "Report") -> str:
    """The request and its size."""
    size = f"{report.forgotten} example{'s' * (report.forgotten != 1)} forgotten"
    size += f", {report.seeds} seeds" if report.seeds > 1 else ""
    return f"{report.request} ({size})" if report.request else size


def number(value: float, digits: int = 4) -> str:
    """`value` as the text of a cell."""
    if np.isnan(value):
        return "-"
    return f"{value:.{digits}g}".replace("inf", "∞")


def by_class(report: "Report") -> dict[str, list[str]]:
    """{split: the classes with an accuracy of their own}, in the order of the columns."""
    labels: dict[str, list[str]] = {}
    for column in dict.fromkeys(column for row in report.rows.values() for column in row):
        if (match := _CLASS.fullmatch(column)) and _filled(report, column):
            labels.setdefault(match[2], []).append(match[1])
    return labels


def main(report: "Report") -> Table:
    """The main table, a line for each model and a column for each metric that some model has."""
    columns = [c for c in report.columns() if not _CLASS.fullmatch(c) and _filled(report, c)]
    columns.sort(key=lambda column: column in _COST)  # the cost comes last
    truth, rows, small, shades = report.rows.get("retrain", {}), [], {}, {}
    for i, (name, row) in enumerate(report.rows.items()):
        rows.append([name, _verdict(report, name), *(number(row.get(column, np.nan)) for column in columns)])
        for j, column in enumerate(columns, 2):
            if below := _below(report, name, column):
                small[i, j] = below
            if apart := shade(column, row.get(column, np.nan), truth.get(column, np.nan)):
                shades[i, j] = apart
    header = ["model", "verdict", *map(report.title, columns)]
    marks = {(i, 1): "bad" for i, name in enumerate(report.rows) if refuted(report, name)}
    note = "original: the model before forgetting; retrain: the model retrained without the forgotten examples"
    seeds = f"mean ± standard deviation of {report.seeds} seeds"
    key = seeds if report.seeds > 1 else "in brackets: the 95% interval of an accuracy"
    return Table(header, rows, note, marks, (1,), small, shades, key if small else "")


def deviation(report: "Report", name: str, column: str) -> str:
    """ " ± 0.01" for a number that is a mean over seeds."""
    value = report.deviations.get(name, {}).get(column, np.nan)
    return "" if np.isnan(value) else f" ± {number(value, 2)}"


def _below(report: "Report", name: str, column: str) -> str:
    """The deviation of a mean over seeds; otherwise the interval of an accuracy, from the number of its examples."""
    if report.seeds > 1:
        return deviation(report, name, column).strip()
    value, size = report.rows[name].get(column, np.nan), report.examples.get(column.removesuffix("_accuracy"), 0)
    if not column.endswith("_accuracy") or not size or np.isnan(value):
        return ""
    low, high = wilson(value, size)
    digits = 3 if high - low >= 0.002 else 4
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def beside(table: Table) -> Table:
    """The main table with a column for each model if they are few, which then fits a phone."""
    return turned(table) if len(table.rows) <= _FEW else table


def turned(table: Table) -> Table:
    """The table with its rows and columns exchanged."""
    header, *rows = zip(*[table.header, *table.rows], strict=True)

    def swapped(cells: dict[tuple[int, int], Any]) -> dict[tuple[int, int], Any]:
        return {(j - 1, i + 1): value for (i, j), value in cells.items() if j}

    marks, small, shades = map(swapped, (table.marks, table.small, table.shades))
    return Table(list(header), [list(row) for row in rows], table.note, marks, (), small, shades, table.key)


def refuted(report: "Report", name: str) -> bool:
    """Whether an audit refuted the certificate of `name`."""
    return report.verdicts.get(name) == "REFUTED" or (name in report.audits and report.audits[name].refuted)


def class_losses(report: "Report") -> Table:
    """The mean loss by split and class, a line for each model."""
    columns = dict.fromkeys(c for row in report.rows.values() for c in row if _CLASS_LOSS.fullmatch(c))
    header = [" ".join(_CLASS_LOSS.fullmatch(c).groups()[::-1]) for c in columns]  # pyright: ignore
    rows = [[name, *(number(row.get(c, np.nan)) for c in columns)] for name, row in report.rows.items()]
    return Table(["model", *header], rows, "mean loss by split and class")


def _filled(report: "Report", column: str) -> bool:
    """Whether some model has a number in `column`."""
    return any(not np.isnan(row.get(column, np.nan)) for row in report.rows.values())


def _verdict(report: "Report", name: str) -> str:
    verdict = report.verdicts.get(name, "-")
    return f"{verdict}: REFUTED" if verdict != "REFUTED" and refuted(report, name) else verdict
