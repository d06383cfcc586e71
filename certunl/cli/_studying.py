"""compare and audit: methods against one another, and certificates against canaries. Nothing is released."""

import dataclasses
import sys
from typing import Annotated, Any

import jax
import numpy as np

from certunl import registry
from certunl import requests as requesting
from certunl.audits.canaries import audit_canaries
from certunl.certificates.budget import Budget
from certunl.cli._again import Again
from certunl.cli._words import (
    Attacks,
    Folder,
    Formats,
    Settings,
    Words,
    attacking,
    listed,
    made_with,
    opened,
    say,
    seeded,
)
from certunl.errors import BadInput
from certunl.evaluation import Report
from certunl.evaluation.comparison import compare as compare_all
from certunl.evaluation.comparison import every_method
from certunl.folders import RunFolder
from certunl.report import check_formats, to_json, write
from certunl.report.console import progress, show
from certunl.training.run import Run

__all__ = ["audit", "compare"]


def compare(
    folder: Folder,
    /,
    requests: Words = (),
    methods: Words = (),
    set: Settings = (),
    epsilon: float = 1.0,
    delta: float = 1e-5,
    attacks: Attacks = ("all",),
    shadows: int = 16,
    models: int = 0,
    single: int = 0,
    patience: float = 60.0,
    tune: bool = False,
    formats: Formats = (),
    seed: int = 0,
) -> None:
    """Compares methods on the same requests and writes RUN/comparison.html and comparison.md. It releases nothing.

    Args:
        folder: the run folder.
        requests: the requests, written as for forget. Each starts from the trained model (default: a random one, one
            of a class and one of influential examples, each a tenth of the data, at most 1,000 examples).
        methods: the names of the methods (default: all).
        set: settings of methods, such as newton.operator=ggn newton.solver.depth=500.
        epsilon: the budget's epsilon.
        delta: the budget's delta.
        shadows: the number of shadow models for attacks that need them, 16 because every method forgets in each. 0
            leaves those attacks out.
        models: the number of seeds whose margins are compared (KLoM), at least 10. 0 leaves that out. The page calls
            fewer than 100 few.
        single: the number of examples forgotten one at a time, for the correlation of loss changes. 0 leaves that out.
        patience: the seconds that a method may take to forget for all shadow models, seeds or single deletions.
        tune: choose the settings of each method on another request of the same kind, by tug of war. Settings that are
            given are among those tried.
        seed: the randomness of requests, attacks and methods. The noise comes from secrets.
    """
    check_formats(formats)
    ask_key, judge_key = jax.random.split(seeded(seed))
    tune_key = jax.random.fold_in(judge_key, 2**31)
    chosen, budget = every_method(_by_method(set), methods or None), Budget(epsilon=epsilon, delta=delta)
    by_name = attacking(attacks)
    place = RunFolder(folder)
    with opened(place):
        run = place.run
        words = requests or _usual(run)
        context = place.built.mislabelled, place.owner_names
        ids = {
            word: requesting.parse(word, jax.random.fold_in(ask_key, i), run, *context) for i, word in enumerate(words)
        }
        reports: list[Report] = []
        tuning = {
            word: requesting.another(word, jax.random.fold_in(tune_key, i), run, ids[word], context[0])
            for i, word in enumerate(ids if tune else ())
        }
        options: dict[str, Any] = {"shadows": shadows, "models": models, "single": single, "patience": patience}
        choices = (words, sorted(chosen), set, epsilon, delta, attacks, seed)
        again = Again(place, "comparing", [choices, options, tune])
        options |= {"test": place.splits.test, "budget": budget, "attacks": by_name, "tuning": tuning}
        options["tell"] = lambda sentence: print(sentence, file=sys.stderr, flush=True)
        for i, word in enumerate(ids):  # results are written after each request, in case a later one fails
            if word not in again.reports:
                key = jax.random.fold_in(judge_key, i)
                options["checkpoints"] = again.checkpoints.within(str(i))
                with again.trying():
                    compared = compare_all(run, {word: ids[word]}, key, methods=chosen, **options)
                again.put(word, compared)
            reports += again.reports[word]
            place.write("comparison", [to_json(report) for report in reports])
            settings: dict[str, Any] = {"seed of the comparison": seed, "epsilon": epsilon, "delta": delta}
            settings |= {f"{r.request}: {name}": value for r in reports for name, value in r.settings.items()}
            title = f"certunl: {folder.name}, methods compared"
            write(folder, title, made_with(place) | settings, reports, name="comparison", formats=formats)
        again.done()
    for report in reports:
        show(report)
    say(f"wrote {folder / 'comparison.html'}, and the same as comparison.md; nothing was released")


def audit(
    folder: Folder,
    /,
    method: Annotated[str, listed("the method", registry.names("methods"))] = "hessian_free",
    set: Settings = (),
    canaries: int | None = None,
    mislabelled: float = 0.5,
    guesses: int | None = None,
    alone: bool = False,
    epsilon: float | None = None,
    delta: float = 1e-5,
    distance: float | None = None,
    sigma: float | None = None,
    confidence: float = 0.99,
    seed: int = 0,
) -> None:
    """Tests the certificates of a method in one run with canaries and appends the result to RUN/audits.json. The exit
    status is 1 if the certificates are refuted.

    Args:
        folder: the run folder. Its recipe and data are used; its model and releases are not.
        set: settings of the method.
        canaries: the number of test examples that enter training by a fair coin, are forgotten, and are guessed
            (default: all test examples, at most 200).
        mislabelled: the share of canaries with a wrong label.
        guesses: the number of canaries on which the attacker does not abstain (default: half, or a tenth with --alone).
        alone: test what is claimed of each canary alone, and not of all as one request. It is for noisy_retrain.
        epsilon: the budget's epsilon (default: 1, or derived from sigma).
        delta: the budget's delta.
        distance: a distance fixed before the request.
        sigma: the standard deviation of the noise, fixed before the request.
        confidence: the confidence of the lower bound on epsilon.
        seed: the randomness of coins, training and noise.
    """
    chosen = registry.parse(set)
    unlearner = registry.build("methods", method, **chosen)
    if epsilon is None and sigma is None:
        epsilon = 1.0
    budget = Budget(epsilon=epsilon, delta=delta, distance=distance, sigma=sigma)
    place = RunFolder(folder)
    with opened(place):
        test = place.splits.test
        canaries = min(200, len(test)) if canaries is None else canaries
        if not 0 < canaries <= len(test):
            raise BadInput(f"canaries are test examples: ask for 1 to {len(test)}, got {canaries}")
        with progress(f"auditing {method} with {canaries} canaries"):
            result = audit_canaries(
                place.run,
                unlearner,
                budget,
                test[np.arange(canaries)],
                seeded(seed),
                mislabelled=mislabelled,
                confidence=confidence,
                guesses=guesses,
                alone=alone,
            )
        facts = {"method": method, "settings": chosen, "seed": seed, "said": str(result), "refuted": result.refuted}
        place.write("audits", [*place.read("audits", []), facts | {"found": dataclasses.asdict(result)}])
    say(f"{method}: {result}")
    if result.refuted:
        sys.exit(1)


def _usual(run: Run) -> list[str]:
    """One request of each kind, each a tenth of the data and at most 1,000 examples: enough to measure a true positive
    rate at 0.1% false positives."""
    size = max(2, min(1000, int(run.present.sum()) // 10))
    words, labels = [f"random:{size}", f"influential:{size}"], np.asarray(run.problem.data.y)
    if run.problem.kind in ("classification", "binary"):
        classes, counts = np.unique(labels[np.asarray(run.present)], return_counts=True)
        words.insert(1, f"class:{classes[counts.argmax()]}:{min(size, counts.max())}")
    return words


def _by_method(words: tuple[str, ...]) -> dict[str, Any]:
    """The settings of each method, from words such as newton.solver.depth=500."""
    grouped: dict[str, list[str]] = {}
    for word in words:
        name, dot, rest = word.partition(".")
        if not dot or "=" in name:
            raise BadInput(f"settings of compare name their method, as newton.damping=0.1 does; got {word!r}")
        grouped.setdefault(name, []).append(rest)
    return {name: registry.parse(rest) for name, rest in grouped.items()}
