"""Tables of text. Numbers are scaled by constants and categories are one-hot; nothing is computed from the rows."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from certunl.datasets._files import opened
from certunl.errors import BadInput

__all__ = ["Column", "Columns", "category", "number", "rows_of"]

Column = tuple[int, Callable[[str], list[float]]]
"""(number of features of a field, the function that makes them; it raises ValueError for a field it cannot read)."""

Columns = dict[str, Column]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def number(unit: float, most: float, *, least: float = 0.0, logarithm: bool = False) -> Column:
    """value / unit, or log10(1 + value) / unit for values over several orders of magnitude.

    A value outside `least` to `most` is refused.
    """

    def scaled(text: str) -> list[float]:
        if not (_NUMBER.fullmatch(text) and least <= float(text) <= most):
            raise ValueError(f"a number from {least:g} to {most:g} is expected")
        return [float(np.log10(1 + float(text)) if logarithm else float(text)) / unit]

    return 1, scaled


def category(*names: str) -> Column:
    """One feature per name, 1 for the name in the field and 0 for the others."""

    def one_hot(text: str) -> list[float]:
        if text not in names:
            raise ValueError(f"one of {', '.join(names)} is expected")
        return [float(text == name) for name in names]

    return len(names), one_hot


def rows_of(
    path: Path, columns: Columns, label: str, classes: Sequence[str], *, header: bool = False, comment: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """(features f32[n, sum of widths], labels i32[n]) of a file of comma-separated lines.

    A line holds the `columns` in order and then one of `classes`; a full stop after the class is ignored. With `header`
    the first line must name the columns. Lines that begin with `comment` are skipped.

    Raises: BadInput that names the file and the line at fault.
    """
    names = [*columns, label]
    with opened(path, "comma-separated text") as file:
        text = io.StringIO(file.read().decode("utf-8-sig"), newline="")
        reader = csv.reader(text, skipinitialspace=True)
        lines = [(reader.line_num, [field.strip() for field in fields]) for fields in reader]
    features, labels = [], []
    for line, fields in lines:
        if not any(fields) or (comment and fields[0].startswith(comment)):
            continue
        if header:
            if fields != names:
                raise BadInput(f"{path} has the columns {', '.join(fields)}; expected are {', '.join(names)}")
            header = False
            continue
        where = f"{path}, line {line}"
        if len(fields) != len(names):
            raise BadInput(f"{where}: {len(fields)} fields, but {len(names)} are expected; the file may be truncated")
        row: list[float] = []
        for (name, (_, encode)), field in zip(columns.items(), fields, strict=False):
            try:
                row += encode(field)
            except ValueError as error:
                raise BadInput(f"{where}: {name} is {field!r}; {error}") from None
        if (answer := fields[-1].removesuffix(".")) not in classes:
            raise BadInput(f"{where}: {label} is {fields[-1]!r}; one of {', '.join(classes)} is expected")
        features.append(row)
        labels.append(classes.index(answer))
    if not features:
        raise BadInput(f"{path} holds no rows; download it again")
    return np.array(features, np.float32), np.array(labels, np.int32)
