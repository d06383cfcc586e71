"""One table as text, as Markdown, CSV and LaTeX."""

import csv as _csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.papers.table import Table

__all__ = ["cells", "csv", "latex", "markdown"]


def cells(table: Table, rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Header and body as text, the published rows last. Columns without numbers are left out."""
    published = [dict(row) for row in table.published]
    columns = [c for c in table.columns if any(c.key in row for row in (*rows, *published))]
    seeds = max((row[c.key][2] for row in rows for c in columns if c.key in row), default=1)
    head = [*table.by, *(["seeds"] if seeds > 1 else []), *(c.head for c in columns), *table.words]
    body = []
    for row in rows:
        count = max((row[c.key][2] for c in columns if c.key in row), default=0)
        names = [str(row[key]) for key in table.by]
        cells = [*(_cell(row.get(c.key)) for c in columns), *(str(row[key]) for key in table.words)]
        body.append([*names, *([str(count)] if seeds > 1 else []), *cells])
    for row in published:
        names = [str(row.get(key, "")) for key in table.by]
        names[-1] += " (published)"
        body.append(
            [
                *names,
                *(["-"] if seeds > 1 else []),
                *(str(row.get(c.key, "-")) for c in columns),
                *("-" for _ in table.words),
            ]
        )
    return [head, *body]


def _cell(value: tuple[float, float, int] | None) -> str:
    if value is None:
        return "-"
    mean, spread, _ = value
    return f"{mean:.4g}" + ("" if math.isnan(spread) else f" ± {spread:.2g}")


def markdown(cells: list[list[str]]) -> str:
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def csv(table: Table, rows: Sequence[Mapping[str, Any]]) -> str:
    """Means, deviations and numbers of seeds in columns of their own."""
    stream = io.StringIO()
    writer = _csv.writer(stream, lineterminator="\n")
    parts = ("", "_deviation", "_seeds")
    writer.writerow([*table.by, *table.words, *(c.key + part for c in table.columns for part in parts)])
    for row in rows:
        values = [row.get(c.key, (math.nan, math.nan, 0)) for c in table.columns]
        flat = ["" if isinstance(v, float) and math.isnan(v) else f"{v:.7g}" for value in values for v in value]
        writer.writerow([*(row[key] for key in (*table.by, *table.words)), *flat])
    return stream.getvalue()


_SPECIAL = {"\\": r"\textbackslash{}", "±": r"$\pm$", "‖": r"$\|$", "²": r"$^2$", "·": r"$\cdot$"}
_SPECIAL |= {char: f"\\{char}" for char in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def latex(table: Table, cells: list[list[str]]) -> str:
    """A tabular between rules, which needs no package."""
    lines = [" & ".join("".join(_SPECIAL.get(char, char) for char in cell) for cell in row) + r" \\" for row in cells]
    shape = "l" * len(table.by) + "r" * (len(cells[0]) - len(table.by))
    body = [rf"\begin{{tabular}}{{{shape}}}", r"\hline", lines[0], r"\hline", *lines[1:], r"\hline", r"\end{tabular}"]
    return "\n".join(body) + "\n"
