"""Reports of several seeds as one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from certunl.errors import BadInput
from certunl.evaluation.report import Report

__all__ = ["join"]

_SURE = {"PROVED": 3, "CONDITIONAL": 2, "VACUOUS": 1, "NOT CERTIFIED": 0, "REFUTED": -1}


def join(reports: Sequence[Report]) -> Report:
    """The Report of one kind of request under several seeds: means, with standard deviations in `deviations`.

    A number is the mean over the seeds that have the row, and its deviation is that of a sample (divisor m − 1). Both
    are NaN if one of these seeds lacks the number. The AUC of an attack becomes the column `<attack>_auc`. A verdict is
    the worst of all seeds, where a seed without one counts as NOT CERTIFIED. An epsilon and a delta are the largest,
    and an audit is the one that shows most. Curves, certificates and controls are left out. `left_out` names the rows
    that some seeds lack and the attacks whose control was not at chance.

    Args:
        reports: at least two, one for each seed, with the same `request` and number of forgotten examples.

    Raises: BadInput for fewer reports, and for reports of different requests.
    """
    reports = list(reports)
    if len(reports) < 2 or not all(isinstance(report, Report) and report.seeds == 1 for report in reports):
        raise BadInput("join takes at least two Reports, one for each seed, and none that is joined already")
    first, many = reports[0], len(reports)
    for other in reports[1:]:
        if (other.request, other.forgotten) != (first.request, first.forgotten):
            raise BadInput(f"join takes reports of the same request, got {_request(first)} and {_request(other)}")
    rows, deviations, left_out = {}, {}, {}
    for name, several in _by_name(_with_areas(report) for report in reports).items():
        columns = dict.fromkeys(column for row in several for column in row)
        values = {column: np.array([row.get(column, np.nan) for row in several]) for column in columns}
        with np.errstate(invalid="ignore"):  # the deviation of infinities is NaN
            rows[name] = {column: float(np.mean(of)) for column, of in values.items()}
            deviations[name] = {column: _deviation(of) for column, of in values.items()}
        if len(several) < many:
            left_out[name] = f"the row is of {len(several)} of {many} seeds"
    for name, reasons in _by_name(report.left_out for report in reports).items():
        left_out[name] = f"{reasons[-1]} ({len(reasons)} of {many} seeds)"
    for attack, controls in _by_name(report.controls for report in reports).items():
        if missed := sum(not control.at_chance for control in controls):
            left_out[f"attack {attack}"] = f"its control is not at chance in {missed} of {many} seeds"
    verdicts = _by_name(report.verdicts for report in reports)
    audits = _by_name(report.audits for report in reports)
    return Report(
        rows=rows,
        forgotten=first.forgotten,
        verdicts={
            name: min(of + ["NOT CERTIFIED"] * (len(of) < many), key=lambda verdict: _SURE.get(verdict, -1))
            for name, of in verdicts.items()
        },
        request=first.request,
        audits={name: max(of, key=lambda audit: (audit.refuted, audit.lower)) for name, of in audits.items()},
        left_out=left_out,
        settings=_shared([report.settings for report in reports]),
        claims={
            name: (max(epsilon for epsilon, _ in of), max(delta for _, delta in of))
            for name, of in _by_name(report.claims for report in reports).items()
        },
        examples=_shared([report.examples for report in reports]),
        deviations=deviations,
        seeds=many,
    )


def _deviation(values: np.ndarray) -> float:
    """The standard deviation of a sample: NaN of one number, and exactly 0 of equal ones."""
    if len(values) < 2:
        return np.nan
    return 0.0 if (values == values[0]).all() and np.isfinite(values[0]) else float(np.std(values, ddof=1))


def _with_areas(report: Report) -> dict[str, dict[str, float]]:
    """The rows of `report` with the AUCs of attacks."""
    areas = {
        name: {f"{attack}_auc": result.auc for attack, result in report.attacks.get(name, {}).items()}
        for name in report.rows
    }
    return {name: row | areas[name] for name, row in report.rows.items()}


def _by_name(several: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """{name: what those of `several` that have the name say of it}."""
    result: dict[str, list[Any]] = {}
    for one in several:
        for name, value in one.items():
            result.setdefault(name, []).append(value)
    return result


def _shared(several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The entries that are the same in all of `several`."""
    return {name: value for name, value in several[0].items() if all(one.get(name) == value for one in several)}


def _request(report: Report) -> str:
    return f"{report.request or 'a request'} of {report.forgotten} examples"
