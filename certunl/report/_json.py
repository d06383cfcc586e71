"""A Report as JSON, and back."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from certunl.evaluation import Report
from certunl.folders.decoding import decoded

__all__ = ["from_json", "to_json"]


def to_json(report: Report) -> dict[str, Any]:
    """`report` for `write_json`. Infinities and noise levels become strings; NaN becomes null in the file.

    >>> from_json(to_json(Report({"original": {"distance": math.inf}}, 3, {}))).rows
    {'original': {'distance': inf}}
    """
    return _worded(dataclasses.asdict(report))


def from_json(facts: Mapping[str, Any]) -> Report:
    """The Report that `to_json` or `dataclasses.asdict` turned into `facts`. Earlier versions had fewer fields."""
    return decoded(Report, facts, null=math.nan)


def _worded(value: Any) -> Any:
    """`value` with its infinities and its floating-point keys as strings, which JSON cannot hold otherwise."""
    if isinstance(value, dict):
        return {str(float(k)) if isinstance(k, float) else k: _worded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_worded(v) for v in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value
