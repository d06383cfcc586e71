"""The results of audits and attacks, as tables and as alarms."""

from typing import TYPE_CHECKING

import numpy as np

from certunl.evaluation.shading import shade
from certunl.evaluation.tables import Table, class_losses, main, number
from certunl.membership.power import understatement
from certunl.membership.roc import Attacked

if TYPE_CHECKING:
    from certunl.evaluation.report import Report

__all__ = ["alarms", "areas", "attacked", "claims", "every_table", "power"]


def every_table(report: "Report") -> dict[str, Table]:
    """Every table of `report` that has something to show, by name: "models", "audits", "class losses" and so on."""
    attacked = bool(report.attacks or report.controls)
    tables = {"models": main(report)}
    tables |= {"audits": claims(report)} if report.audits else {}
    tables |= {"class losses": class_losses(report)}
    tables |= {"attacks": areas(report), "rates": power(report)} if attacked else {}
    tables |= {"left out": absent(report)} if report.left_out else {}
    return {name: table for name, table in tables.items() if len(table.header) > 1}


def alarms(report: "Report") -> list[str]:
    """A sentence for each refuted claim, and for each control whose interval does not contain chance."""
    refuted = [
        f"REFUTED: {name} claims epsilon {audit.epsilon:.4g} at delta {audit.delta:.4g}. An audit shows that epsilon "
        f"is at least {audit.lower:.4g}, with confidence {100 * audit.confidence:.4g}%"
        + (f"; {audit.broken}" if audit.broken else "")
        for name, audit in report.audits.items()
        if audit.refuted
    ]
    return refuted + [
        f"NOT AT CHANCE: with members and others shuffled, {attack} has AUC {_area(control)}. The interval should "
        "contain ½. One control in a thousand misses it by chance; otherwise do not rely on this attack"
        for attack, control in report.controls.items()
        if not control.at_chance
    ]


def claims(report: "Report") -> Table:
    """The claimed epsilon of each audited release and the lower bound of its audit."""
    rows = []
    for name, audit in report.audits.items():
        finding = "REFUTED" if audit.refuted else "not refuted"
        claim = f"ε = {number(audit.epsilon)} at δ = {number(audit.delta)}"
        lower, sure = f"ε ≥ {number(audit.lower)}", f"{100 * audit.confidence:.4g}%"
        rows.append([name, finding, claim, lower, sure, report.verdicts.get(name, "-"), audit.how])
    marks = {(i, 1): "bad" for i, row in enumerate(rows) if row[1] == "REFUTED"}
    note = "An audit uses samples of a release. It can refute a claim, but never prove one."
    header = ["model", "finding", "claimed", "measured", "confidence", "verdict", "evidence"]
    return Table(header, rows, note, marks, (1, 2, 3, 5, 6))


def areas(report: "Report") -> Table:
    """The AUC with its interval, a line for each model and a column for each attack. The controls come last."""
    attacks, rows, marks, shades = _attacks(report), [], {}, {}
    for name, results in attacked(report).items():
        row = [name]
        for attack in attacks:
            result, truth = results.get(attack), report.attacks.get("retrain", {}).get(attack)
            sign, mark = _beside(result, truth)
            if mark:
                marks[len(rows), len(row)] = mark
            if result is not None and truth is not None and (apart := shade("auc", result.auc, truth.auc)):
                shades[len(rows), len(row)] = apart
            row.append(sign + _area(result))
        rows.append(row)
    if report.controls:
        row = ["control: members shuffled"]
        for attack in attacks:
            control = report.controls.get(attack)
            if control is not None and not control.at_chance:
                marks[len(rows), len(row)] = marks[len(rows) + 1, len(row)] = "bad"
            row.append(_area(control))
        controls = [report.controls.get(attack) for attack in attacks]
        answers = ["-" if one is None else "yes" if one.at_chance else "NO" for one in controls]
        rows += [row, ["control: at chance?", *answers]]
    scored = {attack: report.controls[attack] for attack in attacks if attack in report.controls}
    sizes = ", ".join(f"{attack.replace('_', ' ')} {one.members} and {one.others}" for attack, one in scored.items())
    note = (
        "AUC [95% interval; 99.9% for the control]. ½ is chance. The attack tells a model from the retrained one if "
        "the interval of the model lies above (▲) or below (▼) that of the retrained one."
    )
    note += f" Numbers of members and others: {sizes}." if sizes else ""
    note += f" {said}." if (said := understatement(report.shadows)) else ""
    header = ["model", *(attack.replace("_", " ") for attack in attacks)]
    return Table(header, rows, note, marks, shades=shades)


def power(report: "Report") -> Table:
    """The true positive rates at 0.1% and 1% false positives, a line for each model. Empty columns are left out."""
    attacks = _attacks(report)
    rows = []
    for name, results in attacked(report).items():
        rows.append([name, *(part for attack in attacks for part in _power(results.get(attack)))])
    header = [f"{attack.replace('_', ' ')} at {rate}" for attack in attacks for rate in ("0.1%", "1%")]
    columns = [0, *(i for i in range(1, len(header) + 1) if any(row[i] != "-" for row in rows))]
    note = (
        "True positive rate [95% interval] at 0.1% and 1% false positives. It needs at least 1,000 and 100 non-members."
    )
    return Table([["model", *header][i] for i in columns], [[row[i] for i in columns] for row in rows], note)


def absent(report: "Report") -> Table:
    """The methods and parts of the evaluation that are missing, with the reasons."""
    return Table(["method", "reason"], [[name, reason] for name, reason in report.left_out.items()], words=(1,))


def attacked(report: "Report") -> dict[str, dict[str, Attacked]]:
    """`report.attacks` in the order of the main table."""
    names = [*(name for name in report.rows if name in report.attacks), *report.attacks]
    return {name: report.attacks[name] for name in names}


def _attacks(report: "Report") -> list[str]:
    names = dict.fromkeys(attack for results in report.attacks.values() for attack in results)
    return list(names | dict.fromkeys(report.controls))


def _area(result: Attacked | None) -> str:
    return "-" if result is None else f"{result.auc:.3f} [{result.low:.3f}, {result.high:.3f}]"


def _beside(result: Attacked | None, truth: Attacked | None) -> tuple[str, str]:
    """(sign, mark) of an interval that lies above or below that of the retrained model."""
    if result is None or truth is None:
        return "", ""
    if result.low > truth.high:
        return "▲ ", "bad"
    return ("▼ ", "odd") if result.high < truth.low else ("", "")


def _power(result: Attacked | None) -> list[str]:
    if result is None:
        return ["-", "-"]
    return [_rate(result.tpr_at_0_1, *result.interval_at_0_1), _rate(result.tpr_at_1, *result.interval_at_1)]


def _rate(rate: float, low: float, high: float) -> str:
    """A true positive rate with its interval, which results of earlier versions do not have."""
    if np.isnan(rate):
        return "-"
    return f"{100 * rate:.3g}%" + ("" if np.isnan(low) else f" [{100 * low:.3g}, {100 * high:.3g}]")
