"""What every page of a run folder says."""

from pathlib import Path
from typing import Any

from certunl import disk
from certunl.evaluation import Report

__all__ = ["made_with", "paged"]


def made_with(folder: Path) -> dict[str, Any]:
    """What the run was made with."""
    facts = disk.read_json(folder / "run.json", "train again")
    return {**facts["settings"], **facts["versions"], "device": facts["device"]}


def paged(reports: list[Report]) -> list[tuple[Report, list[str]]]:
    """Each with its certificates as printed."""
    return [(report, [f"{name}\n{text}" for name, text in report.certificates.items()]) for report in reports]
