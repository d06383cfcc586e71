"""The first sentence about a Report."""

import math
from collections import Counter
from typing import TYPE_CHECKING

from certunl.evaluation.tables import deviation, number, refuted

if TYPE_CHECKING:
    from certunl.evaluation.report import Report

__all__ = ["lead"]

_WORTH = {"test_accuracy": 1, "retain_accuracy": 1, "test_loss": -1, "retain_loss": -1}
"""The columns that rank models, the first that retraining has; -1 for those of which less is better."""


def lead(report: "Report") -> str:
    """The row that is PROVED and what it costs: epsilon, accuracy and seconds, beside retraining; or that none is.

    Of several proved rows it describes the best one and names the others. Of a release with noise it describes the row
    of the noised model.
    """
    sure = [name for name, verdict in report.verdicts.items() if verdict == "PROVED" and not refuted(report, name)]
    proved = [name for name in sure if f"{name} + noise" not in report.rows]
    if not proved:
        others = Counter("REFUTED" if refuted(report, name) else v for name, v in report.verdicts.items())
        listed = ", ".join(f"{times} {verdict}" for verdict, times in others.items())
        return f"No row is PROVED: {listed or 'nothing was certified'}."
    truth = report.rows.get("retrain", {})
    column = next((column for column in _WORTH if not math.isnan(truth.get(column, math.nan))), "")

    def rank(name: str) -> tuple[bool, float]:
        value = _WORTH.get(column, 1) * report.rows.get(name, {}).get(column, math.nan)
        return name in report.rows, -math.inf if math.isnan(value) else value  # exact retraining has no row of its own

    best = max(proved, key=rank)
    shown = best if best in report.rows else "retrain"
    words, row = f"{best} is PROVED", report.rows.get(shown, {})
    if best in report.claims:
        epsilon, delta = report.claims[best]
        words += f" with epsilon {number(epsilon)} at delta {number(delta)}"
    costs = []
    for name, what, unit in ((column, f"{column.replace('_', ' ')} ", ""), ("seconds", "", " s")):
        if not math.isnan(row.get(name, math.nan)):
            beside = (
                ""
                if math.isnan(truth.get(name, math.nan))
                else f" (retraining {number(truth[name])}{deviation(report, 'retrain', name)}{unit})"
            )
            costs.append(f"{what}{number(row[name])}{deviation(report, shown, name)}{unit}{beside}")
    rest = [name for name in proved if name != best]
    words += f": {', '.join(costs)}." if costs else "."
    return words + (f" Also PROVED: {', '.join(rest)}." if rest else "")
