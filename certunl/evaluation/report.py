"""The results of an evaluation, as tables."""

import importlib.util
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from certunl.audits.audit import Audit
from certunl.errors import BadInput
from certunl.evaluation.frame import records
from certunl.evaluation.notebook import notebook
from certunl.evaluation.tables import deviation, number
from certunl.membership.roc import Attacked

if TYPE_CHECKING:
    import pandas

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """The results for one request, one row per model and one column per metric. `print` shows them as a table.

    Args:
        rows: `rows[name][column]`, the value of a metric; NaN or a missing column if it could not be computed.
        forgotten: number of forgotten examples.
        verdicts: the verdict of the certificate of a row; "REFUTED" if its audit refuted the certificate.
        request: the request in words, for example "random:100".
        attacks: `attacks[row][attack]`, the result of an attack; empty if no attack was run.
        controls: `controls[attack]`, the attack on the retrained model with members and others shuffled. Its 99.9%
            interval should contain 1/2.
        audits: `audits[row]`, the audit of a certificate.
        tradeoffs: `tradeoffs[row]`, the accuracy on the test set at each noise level, {sigma: accuracy}.
        left_out: `left_out[method]`, the reason why a method or a part of its evaluation is missing.
        certificates: the certificates as printed, by the name of the release.
        settings: the settings of attacks and methods, in words.
        claims: `claims[row]`, the (epsilon, delta) of the certificate of a row; missing if nothing is proved.
        examples: the number of examples of a split, {"forget": 100, "retain": 9900, "test": 1000}.
        deviations: `deviations[name][column]`, the standard deviation over seeds where `rows` are means (`join`).
        seeds: the number of seeds whose means `rows` are; 1 without `join`.
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
    claims: dict[str, tuple[float, float]] = field(default_factory=dict)
    examples: dict[str, int] = field(default_factory=dict)
    deviations: dict[str, dict[str, float]] = field(default_factory=dict)
    seeds: int = 1

    def columns(self) -> list[str]:
        """The columns of all rows, in the order of the metrics, without those of single classes."""
        names = dict.fromkeys(column for row in self.rows.values() for column in row)
        return [name for name in names if not name.startswith("class_")]

    def cells(self) -> list[list[str]]:
        """The table as text, a header and one line per row."""
        columns = self.columns()
        body = [
            [
                name,
                *(number(row.get(c, np.nan)) + deviation(self, name, c) for c in columns),
                self.verdicts.get(name, ""),
            ]
            for name, row in self.rows.items()
        ]
        return [["", *(c.replace("_", " ") for c in columns), "verdict"], *body]

    def to_frame(self) -> "pandas.DataFrame":
        """A pandas DataFrame with a row for each model and a column for each number of `evaluation.frame.records`.

        Raises: BadInput if pandas is not installed.

        >>> Report({"original": {"distance": 0.5}, "retrain": {"distance": 0.0}}, 3, {}).to_frame().distance["original"]
        np.float64(0.5)
        """
        if importlib.util.find_spec("pandas") is None:
            raise BadInput("pandas is not installed; install it with: pip install 'certunl[pandas]'")
        import pandas

        return pandas.DataFrame(records(self)).set_index("model")

    def _repr_html_(self) -> str:
        return notebook(self)

    def __str__(self) -> str:
        cells = self.cells()
        width = [max(map(len, row)) for row in cells]
        lines = ["  ".join(c.rjust(w) for c, w in zip(line, width, strict=True)) for line in zip(*cells, strict=True)]
        return "\n".join([f"forgotten: {self.forgotten} examples", *lines, *self._attacked(), *self._audited()])

    def _attacked(self) -> list[str]:
        """One line for each attack and model, and one for the control of the attack."""
        lines = []
        for title in self.controls:
            lines.append(f"\n{title}: AUC and 95% interval (0.5 is chance), true positive rate at 1% false positives")
            results = {name: row[title] for name, row in self.attacks.items() if title in row}
            for name, one in (results | {"control: shuffled (99.9%)": self.controls[title]}).items():
                lines.append(f"  {name:<28}{one.auc:.3f} [{one.low:.3f}, {one.high:.3f}]  {number(one.tpr_at_1):>7}")
        return lines

    def _audited(self) -> list[str]:
        return [f"{name}: {audit}" for name, audit in self.audits.items() if audit.refuted]
