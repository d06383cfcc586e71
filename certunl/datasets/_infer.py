"""The plan of a table as its rows suggest it."""

import re
from collections.abc import Collection, Sequence

import numpy as np

from certunl.datasets._cells import is_missing, is_number, is_whole, numbers_of, plain_numbers, whole_of
from certunl.datasets._plan import Column, TablePlan
from certunl.datasets._table import Table
from certunl.datasets._words import few
from certunl.errors import BadInput, warn

__all__ = ["inferred_plan"]

_MOST = 10_000
_COMMA = re.compile(r"[+-]?\d+(,\d+)+", re.ASCII)


def inferred_plan(table: Table, label: str, owner: str | None, ignore: Collection[str], task: str | None) -> TablePlan:
    """The plan with every category, class and range that occurs. `table` holds the training and the test rows.

    Raises: BadInput for columns that no plan can be inferred for. Warns of columns that are probably not meant so.
    """
    columns = []
    for name, cells in table.columns.items():
        if name not in (label, owner):
            columns.append(Column(name, "ignored") if name in ignore else _column(table, name, cells))
    if not any(column.width for column in columns):
        raise BadInput(f"{table.title} has no column to learn from beside the label and the owner")
    target = _label(table, label, table.columns[label], task)
    inferred = [column.name for column in columns if column.name not in ignore]
    inferred += [] if target.kind == "number" and task is not None else [label]
    return TablePlan(target, owner, tuple(columns), tuple(inferred))


def _column(table: Table, name: str, cells: Sequence[str]) -> Column:
    if name not in table.texts and (plain := plain_numbers(cells)) is not None and not np.isnan(plain).all():
        return _number(table, name, cells, plain)
    empty = is_missing if name not in table.texts else (lambda cell: not cell)
    present = {cell for cell in cells if not empty(cell)}
    title = f"column {name!r} of {table.title}"
    if not present:
        warn(f"{title} has no value in any row, and is ignored")
        return Column(name, "ignored")
    numbers = 0 if name in table.texts else sum(map(is_number, present))
    if numbers == len(present):
        return _number(table, name, cells, numbers_of(table, name, cells))
    if name not in table.texts and all(_COMMA.fullmatch(cell) for cell in present):
        raise BadInput(
            f"{title} holds numbers with commas, such as {min(present)}; write them with a decimal point alone"
        )
    if numbers > len(present) / 2:
        row = next(i for i, cell in enumerate(cells) if cell and not is_number(cell) and not is_missing(cell))
        warn(
            f"{title} is read as categories, because {table.where(row)} has {cells[row]!r} among numbers; leave that "
            "cell empty if it stands for a missing number"
        )
    elif len(set(cells)) == len(cells):
        warn(f"{title} has as many categories as rows, so it identifies rows; ignore it unless it means more")
    return _category(cells, name, title)


def _number(table: Table, name: str, cells: Sequence[str], values: np.ndarray) -> Column:
    """The column of numbers `values`, NaN where a cell is missing."""
    title, missing = f"column {name!r} of {table.title}", bool(np.isnan(values).any())
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if max(-low, high) >= 2**53 and all(is_whole(cell) or is_missing(cell) for cell in cells):
        raise BadInput(
            f"{title} holds whole numbers beyond 2^53, which floating point cannot tell apart; if they are ids, ignore "
            "the column, or declare it a category in a plan"
        )
    if len(values) >= 20 and np.array_equal(np.sort(values), low + np.arange(len(values))):
        warn(f"{title} counts the rows, so it identifies them; ignore it unless it means more")
    if low == high and not missing:
        warn(f"{title} has the one value {cells[0]} in every row, and is ignored")
        return Column(name, "ignored")
    if low == high:  # it says where a value is missing
        low, high = (min(low, 0.0), max(high, 0.0)) if low else (0.0, 1.0)
    return Column(name, "number", low, high, missing=missing)


def _category(cells: Sequence[str], name: str, title: str) -> Column:
    categories, missing = sorted({cell for cell in cells if cell}), "" in cells
    if len(categories) > _MOST:
        raise BadInput(f"{title} has {len(categories)} categories, more than {_MOST}; ignore it, or group them")
    if len(categories) == 1 and not missing:
        warn(f"{title} has the one value {categories[0]!r} in every row, and is ignored")
        return Column(name, "ignored")
    return Column(name, "category", categories=tuple(categories), missing=missing)


def _label(table: Table, name: str, cells: Sequence[str], task: str | None) -> Column:
    """Text and whole numbers are classes, other numbers are targets of regression, unless `task` says otherwise."""
    title = f"the label {name!r} of {table.title}"
    present = [cell for cell in cells if cell and (name in table.texts or not is_missing(cell))]
    numeric = bool(present) and name not in table.texts and all(map(is_number, present))
    if task == "regression" or (numeric and task is None and not all(map(is_whole, present))):
        values = numbers_of(table, name, cells)
        if len(distinct := np.unique(values[np.isfinite(values)])) == 1:
            raise BadInput(f"{title} is {distinct[0]:g} in every row; two different values are needed")
        if task is None and len(distinct) <= 20 and all(whole_of(cell) is not None for cell in present):
            warn(
                f"{title} is a target of regression, because it is written with a decimal point; "
                "task='classification' makes it a class"
            )
        return Column(name, "number")
    classes: list[str | int] = sorted({cell for cell in cells if cell})
    if numeric and all(whole_of(cell) is not None for cell in present):
        classes = sorted({whole for cell in present if (whole := whole_of(cell)) is not None})
        if len(classes) > max(20, len(cells) / 2):
            warn(
                f"{title} has {len(classes)} classes in {len(cells)} rows; task='regression' makes it a target of "
                "regression"
            )
        elif classes != list(range(len(classes))):
            warn(f"the classes {few(classes)} of {title} are numbered 0 to {len(classes) - 1}")
    if len(classes) == 1:
        raise BadInput(f"{title} is {classes[0]!r} in every row; two classes are needed")
    if len(classes) > _MOST:
        raise BadInput(f"{title} has {len(classes)} classes, more than {_MOST}; group them, or set task='regression'")
    return Column(name, "category", categories=tuple(classes))
