"""Jobs, done once and kept: what a killed command has done is not done again."""

import json
import math
import re
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.papers.table import Column, Paper, Table

__all__ = ["differences", "kept", "lines_of", "lines_path", "run_table", "words"]


def lines_path(out: Path, paper: Paper, scale: str, table: Table) -> Path:
    return out / paper.name / scale / f"{table.name}.jsonl"


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The kept lines. A last line that a kill cut short is dropped."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def kept(out: Path, paper: Paper, scale: str, table: Table) -> list[dict[str, Any]]:
    """The kept lines of the jobs that `table` has today, in their order."""
    lines = {words(line["settings"]): line for line in lines_of(lines_path(out, paper, scale, table))}
    return [lines[text] for job in table.jobs(scale) if (text := words(job.settings)) in lines]


def words(settings: Mapping[str, Any]) -> str:
    """The settings of a job, as one text."""
    return json.dumps(settings, sort_keys=True)


def run_table(paper: Paper, table: Table, scale: str, out: Path, only: str = "") -> list[dict[str, Any]]:
    """The lines of the jobs of `table` with `only` in their names. A job without a line runs, and its line is kept."""
    from benchmarks.machine import commit, device, versions
    from certunl.errors import BadInput, Diverged
    from certunl.training.memory import release_programs

    path = lines_path(out, paper, scale, table)
    path.parent.mkdir(parents=True, exist_ok=True)
    done, lines = lines_of(path), []
    path.write_text("".join(json.dumps(line) + "\n" for line in done))
    before = {words(line["settings"]): line for line in done}
    for job in table.jobs(scale):
        if only not in job.name:
            continue
        line = before.get(words(job.settings))
        if line is None:
            _say(f"{paper.name} {table.name}: {job.name}")
            begin = time.perf_counter()
            line = {"job": job.name, "settings": dict(job.settings), "rows": [], "left_out": ""}
            try:
                line["rows"] = [_plain(row) for row in job.run()]
            except (BadInput, Diverged) as error:
                line["left_out"] = _portable(str(error))
                _say(f"  left out: {error}")
            line |= {"seconds": round(time.perf_counter() - begin, 2)}
            line |= {"made": {"commit": commit(), "versions": versions(False), "device": device(False)}}
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            _say(f"  {line['seconds']:.1f} s")
            release_programs()
        lines.append(line)
    return lines


def _portable(text: str) -> str:
    """`text` with only the last name of each absolute path. A kept line names no folder of one machine."""
    return re.sub(r"(?<!\w)/(?=\S)(?:[^\s/]+/)*", "", text)


def differences(table: Table, fresh: Iterable[Mapping[str, Any]], committed: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the fresh lines say otherwise than the committed ones of the same jobs, beyond the tolerances."""
    before = {words(line["settings"]): line for line in committed}
    found = []
    for line in fresh:
        old = before.get(words(line["settings"]))
        where = f"{table.name}, {line['job']}"
        if old is None:
            found.append(f"{where}: no committed line has these settings")
            continue
        if bool(line["left_out"]) != bool(old["left_out"]):
            found.append(f"{where}: left out now ({line['left_out']!r}) or before ({old['left_out']!r})")
        rows = [{tuple(row.get(k) for k in table.by): row for row in one["rows"]} for one in (line, old)]
        if rows[0].keys() != rows[1].keys():
            found.append(f"{where}: other rows, {sorted(map(str, rows[0].keys() ^ rows[1].keys()))}")
        for name in rows[0].keys() & rows[1].keys():
            for column in table.columns:
                if table.noised(rows[0][name]) and column.floor != Column.floor:  # accuracies and the like
                    continue
                now, then = rows[0][name].get(column.key), rows[1][name].get(column.key)
                if not _near(now, then, column.tolerance, column.floor):
                    found.append(f"{where}, {name}: {column.key} is {now}, committed is {then}")
    return found


def _near(now: Any, then: Any, tolerance: float | None, floor: float) -> bool:
    if tolerance is None or now == then:
        return True
    if not isinstance(now, int | float) or not isinstance(then, int | float):
        return False
    return abs(now - then) <= tolerance * abs(then) + floor


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """`row` with numbers of Python, None for those that are not finite, rounded to seven digits."""
    plain: dict[str, Any] = {}
    for key, value in row.items():
        if hasattr(value, "item"):
            value = value.item()
        if isinstance(value, float):
            value = float(f"{value:.7g}") if math.isfinite(value) else None
        plain[key] = value
    return plain


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
