"""A Report as records, for data frames and CSV."""

import math
from typing import TYPE_CHECKING, Any

from certunl.evaluation.tables import refuted

if TYPE_CHECKING:
    from certunl.evaluation.report import Report

__all__ = ["records"]

_POWER = ("auc", "low", "high", "tpr_at_0_1", "tpr_at_1")


def records(report: "Report") -> list[dict[str, Any]]:
    """A dictionary for each row of `report`, unrounded, with the same keys in the same order.

    "model" and "verdict" are words. Then come every metric, also those of single classes, the epsilon and delta of the
    certificate, and for each attack `<attack>_auc` with the ends of its interval `_low` and `_high`, `_tpr_at_0_1` and
    `_tpr_at_1`. Means over seeds have their standard deviation in a column `<metric>_std`. A missing number is NaN.
    """
    lines = []
    for name, row in report.rows.items():
        epsilon, delta = report.claims.get(name, (math.nan, math.nan))
        numbers = dict(row) | ({"epsilon": epsilon, "delta": delta} if report.claims else {})
        for attack, result in report.attacks.get(name, {}).items():
            numbers |= {f"{attack}_{part}": getattr(result, part) for part in _POWER}
        for column, value in report.deviations.get(name, {}).items():
            numbers[f"{column}_std"] = value
        lines.append(numbers)
    columns = dict.fromkeys(column for numbers in lines for column in numbers)
    return [
        {"model": name, "verdict": _verdict(report, name)} | {c: numbers.get(c, math.nan) for c in columns}
        for name, numbers in zip(report.rows, lines, strict=True)
    ]


def _verdict(report: "Report", name: str) -> str:
    return "REFUTED" if refuted(report, name) else report.verdicts.get(name, "")
