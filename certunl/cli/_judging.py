"""evaluate and report: the releases of a run folder against true retraining."""

import dataclasses
from typing import Any

from certunl import registry
from certunl.cli._again import Again, damaged, reports_of
from certunl.cli._words import Attacks, Folder, Formats, attacking, made_with, opened, say, seeded
from certunl.errors import BadInput, understood
from certunl.evaluation import evaluate_all
from certunl.folders import RunFolder
from certunl.report import check_formats, to_json, write
from certunl.report.console import progress, show

__all__ = ["evaluate", "report"]


def evaluate(folder: Folder, /, attacks: Attacks = (), shadows: int | None = None, seed: int = 0) -> None:
    """Compares every release in the folder with true retraining, and attacks it if asked.

    Args:
        folder: the run folder.
        shadows: the number of shadow models for attacks that need them. 0 leaves those attacks out (default: 256 if so
            many are cheap, otherwise 16).
        seed: the randomness of the attacks.
    """
    options: dict[str, Any] = {}
    if attacks:
        options = {"key": seeded(seed), "attacks": attacking(attacks), "shadows": shadows}
    place = RunFolder(folder)
    with opened(place):
        run, releases = place.run, place.releases.load()
        if not releases:
            raise BadInput(f"{folder} holds no release; make one with: certunl forget {folder}")
        if attacks:
            makers = place.releases.makers().items()
            options["methods"] = {
                name: registry.build("methods", method, **settings) for name, (method, settings) in makers
            }
        with progress("retraining, for comparison" + (", and attacking" if attacks else "")):
            again = Again(place, "evaluating", [attacks, shadows, seed, sorted(releases)])
            options["done"] = {int(n): reports[0] for n, reports in again.reports.items() if n.isdecimal() and reports}
            options["checkpoints"] = again.checkpoints
            options["tell"] = lambda number, report: again.put(str(number), [report])
            with again.trying():
                reports = evaluate_all(run, releases, test=place.splits.test, **options)
        place.write("evaluation", [to_json(report) for report in reports])
        again.done()
        place.write("attacked", {"attacks": attacks, "shadows": shadows, "seed": seed, "head": place.ledger.head})
    for report in reports:
        show(report)


def report(folder: Folder, /, formats: Formats = ()) -> None:
    """Writes RUN/report.html and report.md: tables, figures, certificates. If a release is newer than the last
    evaluation, it evaluates first, with the same attacks as the last time. Other formats are written into RUN/report.

    Args:
        folder: the run folder.
    """
    check_formats(formats)
    place = RunFolder(folder)
    with understood(damaged(folder / "attacked.json")):
        last = place.read("attacked", {"attacks": ()})
        attacks = tuple(map(str, last["attacks"]))
        shadows, seed = last.get("shadows", 16), int(last.get("seed", 0))
        shadows = None if shadows is None else int(shadows)
    if last.get("head") != place.ledger.head or not (folder / "evaluation.json").exists():
        evaluate(folder, attacks, shadows, seed)
    with opened(place), understood(damaged(folder / "evaluation.json")):
        reports = reports_of(place.read("evaluation", []), folder / "evaluation.json")
        printed = place.releases.certificates()
        shown = [{name: printed[name] for name in report.rows if name in printed} for report in reports]
        pages = [dataclasses.replace(r, certificates=c) for r, c in zip(reports, shown, strict=True)]
        audits, refuted = _audits(place)
        warnings = place.releases.warnings() + refuted
        settings = {name: value for report in reports for name, value in report.settings.items()}
        if attacks:
            settings["seed of the attacks"] = str(seed)
        else:
            settings["attacks"] = f"nothing was attacked: certunl evaluate {folder.name} --attacks all"
            say(settings["attacks"])
        write(folder, f"certunl: {folder.name}", made_with(place) | settings | audits, pages, warnings, formats=formats)
    say(f"wrote {folder / 'report.html'}, and the same as report.md")
    for sentence in warnings:
        say(f"warning: {sentence}")


def _audits(folder: RunFolder) -> tuple[dict[str, str], list[str]]:
    """(results of the audits with canaries by name, one sentence for each certificate that they refuted)."""
    audits = folder.read("audits", [])
    results = {f"audit {i} of {audit['method']}": audit["said"] for i, audit in enumerate(audits, start=1)}
    pairs = zip(results.items(), audits, strict=True)
    return results, [f"{name}: {result}" for (name, result), audit in pairs if audit["refuted"]]
