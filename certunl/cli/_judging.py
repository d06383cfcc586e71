"""evaluate and report: what the releases of a run folder are worth."""

import dataclasses
from pathlib import Path
from typing import Any

from certunl import disk, folders, registry
from certunl.cli._words import Folder, Words, attacking, made_with, paged, say, seeded
from certunl.errors import BadInput
from certunl.evaluation import evaluate_all
from certunl.report import from_json, to_json, write
from certunl.report.console import progress, show

__all__ = ["evaluate", "report"]


def evaluate(folder: Folder, /, attacks: Words = (), shadows: int = 16, seed: int = 0) -> None:
    """Judges every release in the folder against true retraining, and attacks them where asked.

    Args:
        folder: the run folder.
        attacks: who was in? all, or some of lira, loss_threshold, relearn, rmia, ulira, update_difference, with
            settings behind a colon: update_difference:features=l2,attacker=forest.
        shadows: how many shadow models are trained for the attacks that need them (0: those are left out).
        seed: decides what the attacks draw.
    """
    wanted: dict[str, Any] = {}
    if attacks:
        wanted = {"key": seeded(seed), "attacks": attacking(attacks), "shadows": shadows}
    with disk.lock(folder):
        run, splits, _ = folders.load_run(folder)
        releases = folders.load_releases(folder, run)
        if not releases:
            raise BadInput(f"{folder} holds no release; make one with: certunl forget {folder}")
        if attacks:
            made = folders.made_by(folder).items()
            wanted["methods"] = {name: registry.build("methods", method, **chosen) for name, (method, chosen) in made}
        with progress("retraining, for comparison" + (", and attacking" if attacks else "")):
            reports = evaluate_all(run, releases, test=splits.test, **wanted)
        disk.write_json(folder / "evaluation.json", [to_json(report) for report in reports], mode=0o600)
        asked = {"attacks": attacks, "shadows": shadows, "seed": seed}
        disk.write_json(folder / "attacked.json", asked, mode=0o600)
    for report in reports:
        show(report)


def report(folder: Folder, /) -> None:
    """Writes RUN/report.html and report.md: tables, figures, certificates. Where a release is newer than the last
    evaluation, evaluates first, with the attacks of the last time.

    Args:
        folder: the run folder.
    """
    place = folder / "attacked.json"
    asked: dict[str, Any] = {"attacks": ()}
    if place.exists():
        asked = disk.read_json(place, "delete it and evaluate again")
    if folders.stale(folder):
        evaluate(folder, tuple(asked["attacks"]), asked.get("shadows", 16), asked.get("seed", 0))
    with disk.lock(folder):
        held = disk.read_json(folder / "evaluation.json", "delete it and evaluate again")
        reports = [from_json(r) for r in held]
        certificates = folders.certificates(folder)
        known = [{name: certificates[name] for name in r.rows if name in certificates} for r in reports]
        pages = paged([dataclasses.replace(r, certificates=c) for r, c in zip(reports, known, strict=True)])
        said, refuted = _audits(folder)
        warnings = folders.warnings(folder) + refuted
        settings = {name: value for report in reports for name, value in report.settings.items()}
        if asked["attacks"]:
            settings["seed of the attacks"] = str(asked["seed"])
        else:
            settings["attacks"] = f"nothing was attacked: certunl evaluate {folder.name} --attacks all"
            say(settings["attacks"])
        write(folder, f"certunl: {folder.name}", made_with(folder) | settings | said, pages, warnings)
    say(f"wrote {folder / 'report.html'}, and the same as report.md")
    for sentence in warnings:
        say(f"warning: {sentence}")


def _audits(folder: Path) -> tuple[dict[str, str], list[str]]:
    """What audits with canaries found, by name, and a sentence for each certificate they refuted."""
    place = folder / "audits.json"
    held = disk.read_json(place, "delete it and audit again") if place.exists() else []
    said = {f"audit {i} of {one['method']}": one["said"] for i, one in enumerate(held, start=1)}
    return said, [f"{name}: {said[name]}" for name, one in zip(said, held, strict=True) if one["refuted"]]
