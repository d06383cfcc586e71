"""What audits and attacks found, as tables and as sentences nobody may overlook."""

import numpy as np

from certunl.evaluation import Report
from certunl.membership.roc import Attacked
from certunl.report._tables import Table, number

__all__ = ["alarms", "areas", "attacked", "claims", "power"]


def alarms(report: Report) -> list[str]:
    """A sentence for each claim that was refuted and each control away from chance."""
    found = [
        f"REFUTED: {name} claims epsilon {audit.epsilon:.4g} at delta {audit.delta:.4g}, and an audit found epsilon at "
        f"least {audit.lower:.4g} with confidence {100 * audit.confidence:.4g}%; {audit.broken}".removesuffix("; ")
        for name, audit in report.audits.items()
        if audit.refuted
    ]
    return found + [
        f"NOT AT CHANCE: with members and others shuffled, {attack} has AUC {_area(control)}, which does not hold ½. "
        "One control in a thousand strays by chance; otherwise believe nothing that this attack says"
        for attack, control in report.controls.items()
        if not control.at_chance
    ]


def claims(report: Report) -> Table:
    """What audits found against each claim."""
    rows = []
    for name, audit in report.audits.items():
        found = "REFUTED" if audit.refuted else "not refuted"
        claim = f"ε = {number(audit.epsilon)} at δ = {number(audit.delta)}"
        lower, sure = f"ε ≥ {number(audit.lower)}", f"{100 * audit.confidence:.4g}%"
        rows.append([name, found, claim, lower, sure, report.verdicts.get(name, "-"), audit.how])
    marks = {(i, 1): "bad" for i, row in enumerate(rows) if row[1] == "REFUTED"}
    note = "an audit samples what was released: it can refute a claim, never prove one"
    return Table(
        ["model", "finding", "claimed", "found", "confidence", "verdict", "how"], rows, note, marks, (1, 2, 3, 5, 6)
    )


def areas(report: Report) -> Table:
    """AUC and its interval, a line for each model and a column for each attack; the controls last."""
    attacks, rows, marks = _attacks(report), [], {}
    for name, held in attacked(report).items():
        row = [name]
        for attack in attacks:
            sign, mark = _beside(held.get(attack), report.attacks.get("retrain", {}).get(attack))
            if mark:
                marks[len(rows), len(row)] = mark
            row.append(sign + _area(held.get(attack)))
        rows.append(row)
    if report.controls:
        row = ["control: members shuffled"]
        for attack in attacks:
            control = report.controls.get(attack)
            if control is not None and not control.at_chance:
                marks[len(rows), len(row)] = marks[len(rows) + 1, len(row)] = "bad"
            row.append(_area(control))
        found = [report.controls.get(attack) for attack in attacks]
        rows += [row, ["control: at chance?", *("-" if c is None else "yes" if c.at_chance else "NO" for c in found)]]
    sizes = {attack: report.controls[attack] for attack in attacks if attack in report.controls}
    told = ", ".join(f"{attack.replace('_', ' ')} {one.members} and {one.others}" for attack, one in sizes.items())
    note = (
        "AUC [95% interval, the control's 99.9%]; ½ is chance; ▲ above, ▼ below the retrained model's interval: told "
    )
    note += "apart from it" + (f"; members and others scored: {told}" if told else "")
    return Table(["model", *(attack.replace("_", " ") for attack in attacks)], rows, note, marks)


def power(report: Report) -> Table:
    """True positive rates at 0.1% and 1% false positives, a line for each model."""
    attacks = _attacks(report)
    rows = []
    for name, held in attacked(report).items():
        found = [held.get(attack) for attack in attacks]
        rows.append([name, *(part for one in found for part in _power(one))])
    header = [f"{attack.replace('_', ' ')} at {rate}" for attack in attacks for rate in ("0.1%", "1%")]
    kept = [0, *(i for i in range(1, len(header) + 1) if any(row[i] != "-" for row in rows))]
    note = (
        "true positive rate at 0.1% and 1% false positives; where it is not told, 1,000 and 100 non-members are needed"
    )
    return Table([["model", *header][i] for i in kept], [[row[i] for i in kept] for row in rows], note)


def attacked(report: Report) -> dict[str, dict[str, Attacked]]:
    """What attacks found, in the order of the main table."""
    names = [*(name for name in report.rows if name in report.attacks), *report.attacks]
    return {name: report.attacks[name] for name in names}


def _attacks(report: Report) -> list[str]:
    names = dict.fromkeys(attack for held in report.attacks.values() for attack in held)
    return list(names | dict.fromkeys(report.controls))


def _area(found: Attacked | None) -> str:
    return "-" if found is None else f"{found.auc:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _beside(found: Attacked | None, truth: Attacked | None) -> tuple[str, str]:
    """Where an interval lies beside the retrained model's."""
    if found is None or truth is None:
        return "", ""
    if found.low > truth.high:
        return "▲ ", "bad"
    return ("▼ ", "odd") if found.high < truth.low else ("", "")


def _power(found: Attacked | None) -> list[str]:
    rates = [np.nan, np.nan] if found is None else [found.tpr_at_0_1, found.tpr_at_1]
    return ["-" if np.isnan(rate) else f"{100 * rate:.3g}%" for rate in rates]
