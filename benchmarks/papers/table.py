"""What an experiment of a paper is here: jobs that give rows, columns, published numbers and statements."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Column", "Job", "Paper", "Rows", "Statement", "Table", "holds", "mean", "select"]

Row = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Job:
    """One piece of work that is done once. Another settings is another job.

    Args:
        name: the name in messages.
        settings: all that decides the rows, as JSON.
        run: gives the rows, each a flat object of JSON.
    """

    name: str
    settings: Mapping[str, Any]
    run: Callable[[], list[Row]]


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Args:
        key: its name in the rows.
        head: its title.
        tolerance: how far a number may lie from the committed one, as a share of it, when the table is made again.
            None for seconds and other facts of the machine, which are not compared.
        floor: an absolute difference that is always allowed.
    """

    key: str
    head: str
    tolerance: float | None = 0.05
    floor: float = 1e-6


@dataclass(frozen=True)
class Statement:
    """A published statement beside ours.

    Args:
        says: the statement.
        published: its number, or "-".
        ours: our number, in words.
        holds: whether ours confirms it. None if this scale cannot tell.
        why: the reason where it does not, or what is left.
    """

    says: str
    published: str
    ours: str
    holds: bool | None
    why: str = ""

    @property
    def verdict(self) -> str:
        return {True: "confirmed", False: "not confirmed", None: "open"}[self.holds]


@dataclass(frozen=True)
class Table:
    """One table or figure of a paper.

    Args:
        name: as `--table` takes it.
        title: one line.
        stands_for: the experiment of the paper, and in which ways ours differs.
        jobs: the jobs at a scale, "small" or "paper".
        by: the keys that name a row; rows that agree in them differ by their seed and are joined.
        columns: the numbers.
        words: the keys of texts that stand behind the numbers, those of the first seed. Default: none.
        published: rows of the paper or its authors, with the keys of `by` and of some columns.
        statements: what the paper says of this table, judged by the joined rows. Default: nothing.
        draw: draws the joined rows on the axes of matplotlib. Default: no figure.
        noised: whether a row is of a release. Its noise is another each time, so columns with a floor of their own
            are not compared. Default: no row is.
    """

    name: str
    title: str
    stands_for: str
    jobs: Callable[[str], list[Job]]
    by: tuple[str, ...]
    columns: tuple[Column, ...]
    words: tuple[str, ...] = ()
    published: tuple[Row, ...] = ()
    statements: Callable[[list[Row]], list[Statement]] = lambda rows: []
    draw: Callable[[list[Row], Any], None] | None = None
    noised: Callable[[Mapping[str, Any]], bool] = lambda row: False

    def joined(self, rows: Iterable[Mapping[str, Any]]) -> list[Row]:
        """One row for each name, with (mean, deviation or NaN, number of seeds) for each column that has numbers."""
        groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for row in rows:
            groups.setdefault(tuple(row.get(key, "") for key in self.by), []).append(row)
        result = []
        for names, members in groups.items():
            one: Row = dict(zip(self.by, names, strict=True)) | {key: members[0].get(key, "") for key in self.words}
            for column in self.columns:
                values = [m[column.key] for m in members if isinstance(m.get(column.key), int | float)]
                values = [float(value) for value in values if math.isfinite(value)]
                if values:
                    spread = statistics.stdev(values) if len(values) > 1 else math.nan
                    one[column.key] = (statistics.mean(values), spread, len(values))
            result.append(one)
        return result


@dataclass(frozen=True)
class Paper:
    """The tables of one paper. `title` names it, `about` says what differs everywhere."""

    name: str
    title: str
    about: str
    tables: tuple[Table, ...]


def holds(condition: bool, *numbers: float) -> bool | None:
    """`condition`, or None if one of the `numbers` that it compares is missing."""
    return None if any(math.isnan(number) for number in numbers) else bool(condition)


def select(rows: Rows, **names: Any) -> list[Mapping[str, Any]]:
    """The rows with these values."""
    return [row for row in rows if all(row.get(key) == value for key, value in names.items())]


def mean(rows: Rows, column: str, **names: Any) -> float:
    """The mean of a column in the one joined row with these values, NaN if it is not there."""
    found = [row[column] for row in select(rows, **names) if column in row]
    return found[0][0] if found else math.nan
