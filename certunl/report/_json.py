"""A Report as JSON can hold it, and back."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from certunl.audits.audit import Audit
from certunl.evaluation import Report
from certunl.membership.roc import Attacked

__all__ = ["from_json", "to_json"]


def to_json(report: Report) -> dict[str, Any]:
    """`report` for `disk.write_json`: infinities, which JSON has not, as words, and the noise levels too; NaN becomes
    None in the file.

    >>> from_json(to_json(Report({"original": {"distance": math.inf}}, 3, {}))).rows
    {'original': {'distance': inf}}
    """
    return _worded(dataclasses.asdict(report))


def from_json(held: Mapping[str, Any]) -> Report:
    """The Report that `held` was written from, by `to_json` or by `dataclasses.asdict`, or by an earlier version, which
    knew of fewer things."""
    audits, tradeoffs = held.get("audits", {}), held.get("tradeoffs", {})
    return Report(
        rows={name: _numbers(row) for name, row in held["rows"].items()},
        forgotten=held["forgotten"],
        verdicts=dict(held["verdicts"]),
        request=held.get("request", ""),
        attacks={
            row: {name: _attacked(one) for name, one in found.items()} for row, found in held.get("attacks", {}).items()
        },
        controls={name: _attacked(one) for name, one in held.get("controls", {}).items()},
        audits={name: Audit(**_numbers(one, words=("how", "broken"))) for name, one in audits.items()},
        tradeoffs={n: {float(sigma): _number(v) for sigma, v in one.items()} for n, one in tradeoffs.items()},
        left_out=dict(held.get("left_out", {})),
        certificates=dict(held.get("certificates", {})),
        settings=dict(held.get("settings", {})),
    )


def _worded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(float(k)) if isinstance(k, float) else k: _worded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_worded(v) for v in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _number(value: Any) -> Any:
    """As it was: whole numbers stay whole."""
    return math.nan if value is None else float(value) if isinstance(value, str) else value


def _numbers(held: Mapping[str, Any], words: tuple[str, ...] = ()) -> dict[str, Any]:
    return {name: value if name in words else _number(value) for name, value in held.items()}


def _attacked(held: Mapping[str, Any]) -> Attacked:
    told: dict[str, Any] = _numbers({name: value for name, value in held.items() if not isinstance(value, list)})
    return Attacked(**told, fpr=tuple(map(_number, held["fpr"])), tpr=tuple(map(_number, held["tpr"])))
