"""What an evaluation found: tables that can be printed and kept."""

from dataclasses import dataclass, field

import numpy as np

from certunl.audits.audit import Audit
from certunl.membership.roc import Attacked

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """One row per model, one column per metric; `print` it, or read `rows[name][column]`.

    `request` says in words who was forgotten. Where attacks were run, `attacks[row][attack]`, and for each attack its
    `controls`, the same with members and others shuffled, which must come out at chance. `audits[row]`: what was found
    against a certificate. `tradeoffs[row]`: the accuracy on the test set at each noise level {sigma: accuracy}.
    `left_out[method]`: why a method could not be compared. `certificates[row]`: as printed.
    `settings`: what attacks were run with.
    """

    rows: dict[str, dict[str, float]]
    forgotten: int
    verdicts: dict[str, str]
    request: str = ""
    attacks: dict[str, dict[str, Attacked]] = field(default_factory=dict)
    controls: dict[str, Attacked] = field(default_factory=dict)
    audits: dict[str, Audit] = field(default_factory=dict)
    tradeoffs: dict[str, dict[float, float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    certificates: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    def columns(self) -> list[str]:
        """Every column that some row has, in the metrics' order, but those of single classes."""
        names = dict.fromkeys(column for row in self.rows.values() for column in row)
        return [name for name in names if not name.startswith("class_")]

    def cells(self) -> list[list[str]]:
        """The table as text: a header and one line per row."""
        columns = self.columns()
        body = [
            [name, *(_number(row.get(c, float("nan"))) for c in columns), self.verdicts.get(name, "")]
            for name, row in self.rows.items()
        ]
        return [["", *(c.replace("_", " ") for c in columns), "verdict"], *body]

    def __str__(self) -> str:
        cells = self.cells()
        width = [max(map(len, row)) for row in cells]
        lines = ["  ".join(c.rjust(w) for c, w in zip(line, width, strict=True)) for line in zip(*cells, strict=True)]
        return "\n".join([f"forgotten: {self.forgotten} examples", *lines, *self._attacked(), *self._audited()])

    def _attacked(self) -> list[str]:
        """A line for each attack and model, and for its control."""
        lines = []
        for title in self.controls:
            lines.append(f"\n{title}: AUC and 95% interval (0.5 is chance), true positives at 1% false ones")
            found = {name: row[title] for name, row in self.attacks.items() if title in row}
            for name, one in (found | {"control: shuffled (99.9%)": self.controls[title]}).items():
                lines.append(f"  {name:<28}{one.auc:.3f} [{one.low:.3f}, {one.high:.3f}]  {_number(one.tpr_at_1):>7}")
        return lines

    def _audited(self) -> list[str]:
        return [f"{name}: {audit}" for name, audit in self.audits.items() if audit.refuted]


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4g}"
