"""compare and audit: methods held against one another, and their certificates against canaries; nothing is released."""

import dataclasses
import sys
from typing import Any

import jax
import numpy as np

from certunl import disk, folders, registry
from certunl import requests as requesting
from certunl.audits.canaries import audit_canaries
from certunl.certificates.budget import Budget
from certunl.cli._words import Folder, Settings, Words, attacking, made_with, paged, say, seeded
from certunl.errors import BadInput
from certunl.evaluation import Report
from certunl.evaluation.comparison import compare as compare_all
from certunl.evaluation.comparison import every_method
from certunl.report import to_json, write
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
    attacks: Words = ("all",),
    shadows: int = 16,
    models: int = 0,
    single: int = 0,
    patience: float = 60.0,
    seed: int = 0,
) -> None:
    """Compares methods on the same requests, and writes RUN/comparison.html and comparison.md; releases nothing.

    Args:
        folder: the run folder.
        requests: what is forgotten, each time from the trained model; words as those of forget (default: random, of
            one class and influential ones, of each a tenth of the data, 1,000 at most).
        methods: which (default: all that there are).
        set: settings of methods, such as newton.operator=ggn newton.solver.depth=500.
        epsilon: the budget's epsilon.
        delta: the budget's delta.
        attacks: all, or some, with settings behind a colon: lira update_difference:features=l2,attacker=forest.
        shadows: how many shadow models are trained for the attacks that need them (0: those are left out).
        models: of how many seeds the margins are compared (KLoM; 0: not at all).
        single: how many examples are forgotten one at a time, for the correlation of loss changes (0: none).
        patience: the seconds that all shadow models, seeds or single deletions of a method may take to forget.
        seed: decides requests, attacks, noise and the methods' own randomness.
    """
    ask_key, judge_key = jax.random.split(seeded(seed))
    chosen, budget = every_method(_by_method(set), methods or None), Budget(epsilon=epsilon, delta=delta)
    wanted = attacking(attacks)
    with disk.lock(folder):
        run, splits, known = folders.load_run(folder)
        words = requests or _usual(run)
        asked = {
            word: requesting.parse(word, jax.random.fold_in(ask_key, i), run, known["mislabelled"])
            for i, word in enumerate(words)
        }
        reports: list[Report] = []
        for i, word in enumerate(asked):  # what is done is kept, whatever stops the rest
            reports += compare_all(
                run,
                {word: asked[word]},
                jax.random.fold_in(judge_key, i),
                test=splits.test,
                methods=chosen,
                budget=budget,
                attacks=wanted,
                shadows=shadows,
                models=models,
                single=single,
                patience=patience,
                tell=lambda sentence: print(sentence, file=sys.stderr, flush=True),
            )
            disk.write_json(folder / "comparison.json", [to_json(report) for report in reports], mode=0o600)
            told: dict[str, Any] = {"seed of the comparison": seed, "epsilon": epsilon, "delta": delta}
            told |= {f"{r.request}: {name}": value for r in reports for name, value in r.settings.items()}
            title = f"certunl: {folder.name}, methods compared"
            write(folder, title, made_with(folder) | told, paged(reports), name="comparison")
    for report in reports:
        show(report)
    say(f"wrote {folder / 'comparison.html'}, and the same as comparison.md; nothing was released")


def audit(
    folder: Folder,
    /,
    method: str = "hessian_free",
    set: Settings = (),
    canaries: int | None = None,
    mislabelled: float = 0.5,
    guesses: int | None = None,
    epsilon: float | None = None,
    delta: float = 1e-5,
    distance: float | None = None,
    sigma: float | None = None,
    confidence: float = 0.99,
    seed: int = 0,
) -> None:
    """Puts the certificates of a method to the test in one run with canaries; adds what it finds to RUN/audits.json,
    and exits with 1 where they are refuted.

    Args:
        folder: the run folder; its recipe and data are used, its model and releases are not.
        method: whose certificates.
        set: settings of the method.
        canaries: how many test examples are put into training by coins, forgotten, and guessed (default: 200 at most).
        mislabelled: the share of them under a wrong class.
        guesses: on how many the attacker does not abstain (default: half).
        epsilon: the budget's epsilon (default 1, or read off where sigma is given).
        delta: the budget's delta.
        distance: a distance fixed before the request.
        sigma: a noise level fixed before the request.
        confidence: of the lower bound.
        seed: decides coins, training and noise.
    """
    chosen = registry.parse(set)
    unlearner = registry.build("methods", method, **chosen)
    if epsilon is None and sigma is None:
        epsilon = 1.0
    budget = Budget(epsilon=epsilon, delta=delta, distance=distance, sigma=sigma)
    with disk.lock(folder):
        run, splits, _ = folders.load_run(folder)
        canaries = min(200, len(splits.test)) if canaries is None else canaries
        if not 0 < canaries <= len(splits.test):
            raise BadInput(f"canaries are test examples: ask for 1 to {len(splits.test)}, got {canaries}")
        with progress(f"auditing {method} with {canaries} canaries"):
            found = audit_canaries(
                run,
                unlearner,
                budget,
                splits.test[np.arange(canaries)],
                seeded(seed),
                mislabelled=mislabelled,
                confidence=confidence,
                guesses=guesses,
            )
        place = folder / "audits.json"
        held = disk.read_json(place, "delete it and audit again") if place.exists() else []
        held.append({"method": method, "settings": chosen, "seed": seed, "said": str(found), "refuted": found.refuted})
        held[-1] |= {"found": dataclasses.asdict(found)}
        disk.write_json(place, held, mode=0o600)
    say(f"{method}: {found}")
    if found.refuted:
        sys.exit(1)


def _usual(run: Run) -> list[str]:
    """One request of each kind: a tenth of the data, 1,000 at most, so that 0.1% of false positives can be told."""
    size = max(2, min(1000, int(run.present.sum()) // 10))
    words, labels = [f"random:{size}", f"influential:{size}"], np.asarray(run.problem.data.y)
    if np.issubdtype(labels.dtype, np.integer) and labels.ndim == 1:
        classes, counts = np.unique(labels[np.asarray(run.present)], return_counts=True)
        words.insert(1, f"class:{classes[counts.argmax()]}:{min(size, counts.max())}")
    return words


def _by_method(words: tuple[str, ...]) -> dict[str, Any]:
    """Settings of each method from words like newton.solver.depth=500."""
    grouped: dict[str, list[str]] = {}
    for word in words:
        name, dot, rest = word.partition(".")
        if not dot or "=" in name:
            raise BadInput(f"settings of compare name their method, as newton.damping=0.1 does; got {word!r}")
        grouped.setdefault(name, []).append(rest)
    return {name: registry.parse(rest) for name, rest in grouped.items()}
