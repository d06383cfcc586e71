"""A Report as tables of text, for HTML, Markdown and the terminal."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from certunl.evaluation import Report

__all__ = [
    "Table",
    "by_class",
    "class_losses",
    "flat",
    "main",
    "number",
    "turned",
]

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
        words: the columns of prose, which are aligned at the left.
    """

    header: list[str]
    rows: list[list[str]]
    note: str = ""
    marks: dict[tuple[int, int], str] = field(default_factory=dict)
    words: tuple[int, ...] = ()


def number(value: float, digits: int = 4) -> str:
    """`value` as the text of a cell."""
    if np.isnan(value):
        return "-"
    return f"{value:.{digits}g}".replace("inf", "∞")


def flat(facts: dict[str, object], prefix: str = "") -> Iterable[list[str]]:
    """A line for each fact. A nested fact has the names of all levels."""
    for name, value in facts.items():
        words = prefix + str(name).replace("_", " ")
        if isinstance(value, dict):
            yield from flat(value, f"{words}: ")
        else:
            yield [words, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)]


def by_class(report: Report) -> dict[str, list[str]]:
    """{split: the classes with an accuracy of their own}, in the order of the columns."""
    labels: dict[str, list[str]] = {}
    for column in dict.fromkeys(column for row in report.rows.values() for column in row):
        if (match := _CLASS.fullmatch(column)) and _filled(report, column):
            labels.setdefault(match[2], []).append(match[1])
    return labels


def main(report: Report) -> Table:
    """The main table, a line for each model and a column for each metric that some model has."""
    columns = [c for c in report.columns() if not _CLASS.fullmatch(c) and _filled(report, c)]
    columns.sort(key=lambda column: column in _COST)  # the cost comes last
    rows = [
        [name, _verdict(report, name), *(number(row.get(column, np.nan)) for column in columns)]
        for name, row in report.rows.items()
    ]
    header = ["model", "verdict", *map(report.title, columns)]
    marks = {(i, 1): "bad" for i, name in enumerate(report.rows) if _refuted(report, name)}
    note = "original: the model before forgetting; retrain: the model retrained without the forgotten examples"
    return Table(header, rows, note, marks, (1,))


def turned(table: Table) -> Table:
    """The table with its rows and columns exchanged."""
    header, *rows = zip(*[table.header, *table.rows], strict=True)
    marks = {(j - 1, i + 1): mark for (i, j), mark in table.marks.items() if j}
    return Table(list(header), [list(row) for row in rows], table.note, marks)


def _refuted(report: Report, name: str) -> bool:
    """Whether an audit refuted the certificate of `name`."""
    return name in report.audits and report.audits[name].refuted


def class_losses(report: Report) -> Table:
    """The mean loss by split and class, a line for each model."""
    columns = dict.fromkeys(c for row in report.rows.values() for c in row if _CLASS_LOSS.fullmatch(c))
    header = [" ".join(_CLASS_LOSS.fullmatch(c).groups()[::-1]) for c in columns]  # pyright: ignore
    rows = [[name, *(number(row.get(c, np.nan)) for c in columns)] for name, row in report.rows.items()]
    return Table(["model", *header], rows, "mean loss by split and class")


def _filled(report: Report, column: str) -> bool:
    """Whether some model has a number in `column`."""
    return any(not np.isnan(row.get(column, np.nan)) for row in report.rows.values())


def _verdict(report: Report, name: str) -> str:
    verdict = report.verdicts.get(name, "-")
    return f"{verdict}: REFUTED" if _refuted(report, name) else verdict
