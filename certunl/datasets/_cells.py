"""Cells of text as numbers, and what counts as a number, a whole number or a missing one."""

import math
import re
from collections.abc import Sequence

import numpy as np

from certunl.datasets._checks import LARGEST
from certunl.datasets._table import Table
from certunl.errors import BadInput

__all__ = ["is_missing", "is_number", "is_whole", "number_of", "numbers_of", "plain_numbers", "whole_of"]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DIGITS = re.compile(r"[0-9.eE+\-\n]*")
_WHOLE = re.compile(r"[+-]?\d{1,4000}", re.ASCII)
_WHOLE_OR_DECIMAL = re.compile(r"([+-]?\d{1,4000})(\.0*)?", re.ASCII)
_MISSING = {"", "na", "n/a", "nan", "null", "none"}
_INFINITE = {"inf", "infinity"}


def is_missing(cell: str) -> bool:
    """Whether a cell among numbers is empty, or NA, N/A, NaN, null or None."""
    return cell.casefold() in _MISSING


def is_number(cell: str) -> bool:
    """Whether a cell is a number. An infinite one counts, so that it is refused and does not become a category."""
    return _NUMBER.fullmatch(cell) is not None or cell.casefold().lstrip("+-") in _INFINITE


def is_whole(cell: str) -> bool:
    """Whether a cell is a whole number without a point."""
    return _WHOLE.fullmatch(cell) is not None


def whole_of(cell: str) -> int | None:
    """The whole number of a cell, which may end in .0; None if it is another one."""
    match = _WHOLE_OR_DECIMAL.fullmatch(cell)
    return None if match is None else int(match[1])


def number_of(cell: str) -> float | None:
    """The number of a cell, NaN for a missing one; None if it is neither, or beyond float32."""
    if _NUMBER.fullmatch(cell):
        value = float(cell)
        return value if abs(value) <= LARGEST else None
    return math.nan if is_missing(cell) else None


def plain_numbers(cells: Sequence[str]) -> np.ndarray | None:
    """`numbers_of` for cells that all are empty or numbers within float32, in a tenth of the time; None for others."""
    if not _DIGITS.fullmatch("\n".join(cells)):
        return None
    try:
        values = np.array([float(cell) if cell else math.nan for cell in cells])
    except ValueError:
        return None
    return values if np.abs(values).max(initial=0, where=~np.isnan(values)) <= LARGEST else None


def numbers_of(table: Table, name: str, cells: Sequence[str]) -> np.ndarray:
    """f64[n], NaN where a cell is missing. Raises: BadInput for the first cell that is no number, with its place."""
    if (plain := plain_numbers(cells)) is not None:
        return plain
    values = [number_of(cell) for cell in cells]
    if None in values:
        row = values.index(None)
        raise BadInput(
            f"{table.where(row)}: {name} is {cells[row]!r}; a finite number within {LARGEST:.4g} of 0 is expected"
        )
    return np.array(values, np.float64)
