"""Rows of a table as features, targets and names of owners, by a plan."""

from typing import NamedTuple

import numpy as np

from certunl.datasets._cells import is_missing, numbers_of, whole_of
from certunl.datasets._plan import Column, TablePlan
from certunl.datasets._table import Table
from certunl.datasets._words import few
from certunl.errors import BadInput, warn
from certunl.training.arrays import distinct_in_float32

__all__ = ["Encoded", "encoded"]


class Encoded(NamedTuple):
    """Rows as arrays.

    Args:
        x: f32[n, width]. Each column adds at most 1 to ‖x‖².
        y: classes i32[n], or targets f32[n].
        owners: the name of the owner of each row, or None.
    """

    x: np.ndarray
    y: np.ndarray
    owners: list[str] | None


def encoded(table: Table, plan: TablePlan) -> Encoded:
    """The rows of `table`. Numbers outside their range are moved to its nearer end, with a warning.

    Raises: BadInput that names the place of a cell that the plan does not allow, or a column that one of both lacks.
    """
    inputs = [column for column in plan.columns if column.kind != "ignored"]
    needed = [
        plan.label.name,
        *([] if plan.owner is None else [plan.owner]),
        *(column.name for column in inputs),
    ]
    if absent := next((name for name in needed if name not in table.columns), None):
        raise BadInput(f"{table.title} has no column {absent!r}; its columns are {', '.join(table.columns)}")
    known = {*needed, *(column.name for column in plan.columns)}
    if unknown := next((name for name in table.columns if name not in known), None):
        raise BadInput(f"the plan lacks the column {unknown!r} of {table.title}; its kind may be ignored")
    y = _label(table, plan.label)
    owners = None if plan.owner is None else table.columns[plan.owner]
    if owners is not None and "" in owners:
        raise BadInput(
            f"{table.where(owners.index(''))}: the owner {plan.owner} is missing; remove the row, or name one"
        )
    x = np.zeros((len(table), sum(column.width for column in inputs)), np.float32)
    start = 0
    for column in inputs:
        features = x[:, start : start + column.width]
        (_number if column.kind == "number" else _category)(table, column, features)
        start += column.width
    return Encoded(x, y, owners)


def _label(table: Table, label: Column) -> np.ndarray:
    cells = table.columns[label.name]
    text = label.kind == "category" and isinstance(next(iter(label.categories), ""), str)
    empty = (lambda cell: not cell) if text else is_missing
    if (row := next((i for i, cell in enumerate(cells) if empty(cell)), None)) is not None:
        raise BadInput(f"{table.where(row)}: the label {label.name} is missing; remove the row, or fill it in")
    if label.kind == "category":
        return _codes(table, label).astype(np.int32)
    values = numbers_of(table, label.name, cells)
    return (values if label.low is None else _scaled(table, label, values)).astype(np.float32)


def _number(table: Table, column: Column, features: np.ndarray) -> None:
    """[value in [-1, 1], or 0 if missing] and, if the plan allows missing ones, [1 if missing]."""
    cells = table.columns[column.name]
    values = numbers_of(table, column.name, cells)
    missing = np.isnan(values)
    if missing.any() and not column.missing:
        _refuse_missing(table, column, int(missing.argmax()))
    scaled = np.where(missing, 0, _scaled(table, column, values))
    features[:, 0] = scaled
    if column.missing:
        features[:, 1] = missing
    if not distinct_in_float32(scaled)[0]:
        warn(
            f"different numbers of column {column.name!r} of {table.title} become equal in float32, because its range "
            "is wide; declare a narrower one"
        )


def _scaled(table: Table, column: Column, values: np.ndarray) -> np.ndarray:
    """f64[n]: the range of the column as [-1, 1]."""
    low, high = float(column.low or 0), float(column.high or 0)
    if outside := int(((values < low) | (values > high)).sum()):
        warn(
            f"{outside} numbers of column {column.name!r} of {table.title} lie outside {low:g} to {high:g}; they are "
            "moved to the nearer end"
        )
    return 2 * ((np.clip(values, low, high) - low) / (high - low)) - 1


def _category(table: Table, column: Column, features: np.ndarray) -> None:
    """One feature per category, then [1 if other] and [1 if missing], as far as the plan allows them."""
    features[np.arange(len(features)), _codes(table, column)] = 1


def _codes(table: Table, column: Column) -> np.ndarray:
    """i64[n]: the number of each cell's category; other and missing cells follow the categories."""
    cells = table.columns[column.name]
    numbers = {category: i for i, category in enumerate(column.categories)}
    whole = isinstance(column.categories[0], int)
    codes = {cell: numbers.get(whole_of(cell) if whole else cell, -1) for cell in set(cells)}  # pyright: ignore
    unknown = [cell for cell, code in codes.items() if code < 0]
    for cell in unknown:
        missing = is_missing(cell) if whole else not cell
        if missing and column.missing:
            codes[cell] = len(numbers) + column.other
        elif column.other and not missing:
            codes[cell] = len(numbers)
    array = np.array([codes[cell] for cell in cells])
    if (array < 0).any():
        row = int((array < 0).argmax())
        if not cells[row]:
            _refuse_missing(table, column, row)
        raise BadInput(f"{table.where(row)}: {column.name} is {cells[row]!r}; the plan has {few(column.categories)}")
    return array


def _refuse_missing(table: Table, column: Column, row: int) -> None:
    raise BadInput(f'{table.where(row)}: {column.name} is missing, but the plan does not have "missing": true for it')
