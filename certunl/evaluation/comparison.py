"""Every method on the same requests: one report each."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from certunl import registry
from certunl.base import Key
from certunl.certificates.budget import Budget
from certunl.certificates.calibration import certify
from certunl.certificates.certificate import Release
from certunl.certificates.update import Unlearner, declared
from certunl.errors import BadInput, Diverged
from certunl.evaluation._attacks import chosen_attacks
from certunl.evaluation.counterfactuals import klom_splits, leave_one_out
from certunl.evaluation.judging import evaluate
from certunl.evaluation.report import Report
from certunl.requests import random
from certunl.training.problem import Dataset
from certunl.training.run import Run

__all__ = ["compare", "every_method"]

_TRIES = 16
"""How many noise levels are tried."""


def every_method(settings: Mapping[str, Any] | None = None, names: Any = None) -> dict[str, Unlearner]:
    """Methods by name, built with `settings[name]`. Default: every file of the room but retraining, and methods that
    need what they prepare for each release."""
    chosen = list(names or [])
    if names is None:
        known = {name: registry.find("methods", name) for name in registry.names("methods")}
        chosen = [name for name, method in known.items() if name != "retrain" and not method.serves_once]
    given = dict(settings or {})
    if unknown := [name for name in given if name not in chosen]:
        raise BadInput(
            f"settings are for a method that is not compared: {unknown[0]}; compared are {', '.join(chosen)}"
        )
    return {name: registry.build("methods", name, **given.get(name, {})) for name in chosen}


def compare(
    run: Run,
    requests: Mapping[str, Any],
    key: Key,
    *,
    test: Dataset,
    methods: Mapping[str, Unlearner] | None = None,
    budget: Budget | None = None,
    attacks: Any = None,
    shadows: int = 16,
    models: int = 0,
    single: int = 0,
    patience: float = 60.0,
    tell: Callable[[str], None] | None = None,
) -> list[Report]:
    """Forgets each of `requests` (ids by name) from the same trained model by each of `methods` (default: all),
    certifies each as if it were the only release (`budget`, default epsilon 1 at delta 1e-5), judges and attacks them.

    Nothing is released, and nothing may be: the noise is drawn from `key` too. The reports are the owner's. A method
    that cannot is named in `Report.left_out` with its reason; one whose own steps are too quiet for the budget tries
    again with twice the noise, up to 15 times (`Report.settings` say with how much it went on).
    `models` > 0 adds the divergence of margins over that many seeds, and `single` > 0 the correlation of loss changes
    over that many single deletions; like U-LiRA only for methods that forget so many times within `patience` seconds.
    `tell` hears what is being done.
    """
    methods, tell = every_method() if methods is None else methods, tell or _nobody
    budget = Budget(epsilon=1.0, delta=1e-5) if budget is None else budget
    chosen_attacks(attacks, shadows)
    for name, given, least in (("models", models, 10), ("single", single, 3)):
        if given and given < least:
            raise BadInput(f"{name} must be at least {least}, or 0 for none, got {given!r}")
    asked = {said: run.check(ids) for said, ids in requests.items()}
    reports = []
    for number, (said, request) in enumerate(asked.items()):
        keys = jax.random.split(jax.random.fold_in(key, number), 6)
        releases: dict[str, Release] = {}
        used: dict[str, Unlearner] = {}
        missing: dict[str, str] = {}
        for name, method in methods.items():
            tell(f"{said}: forgetting by {name}")
            try:
                releases[name], used[name] = _loud_enough(run, request, method, budget, keys[0], keys[1])
            except (BadInput, Diverged) as error:
                missing[name] = str(error)
        tell(f"{said}: judging and attacking {len(releases)} models")
        cost = {name: release.update.cost["seconds"] for name, release in releases.items()}

        def quick(times: int, cost: dict[str, float] = cost, used: Any = used, missing: Any = missing) -> Any:
            for name in used:
                if times and cost[name] * times > patience:
                    missing[f"many models of {name}"] = (
                        f"forgetting {times} times takes {cost[name] * times:.3g} s, more than {patience:g}"
                    )
            return {name: method for name, method in used.items() if cost[name] * times <= patience}

        report = evaluate(
            run,
            request,
            releases,
            test=test,
            key=keys[2],
            attacks=attacks,
            shadows=shadows,
            methods=quick(shadows),
        )
        columns: dict[str, dict[str, float]] = {name: {} for name in report.rows}
        if models:
            seeds = list(jax.random.split(keys[3], models))
            for name, found in klom_splits(run, quick(models), request, test, seeds).items():
                columns[name] |= found
        if single:
            each = random(keys[4], run, single)
            for name, method in quick(single).items():
                try:
                    found = leave_one_out(run, method, each, keys[5], data=test).correlations()
                    columns[name] |= {f"leave_one_out_{title}": value for title, value in found.items()}
                except (BadInput, Diverged) as error:
                    missing[f"single deletions by {name}"] = str(error)
        reports.append(
            replace(
                report,
                rows={name: row | columns[name] for name, row in report.rows.items()},
                request=said,
                certificates={name: str(release.certificate) for name, release in releases.items()},
                left_out=missing | report.left_out,
                settings=report.settings | {f"method {name}": repr(method) for name, method in used.items()},
            )
        )
    return reports


def _nobody(sentence: str) -> None:
    """Hears it."""


def _loud_enough(
    run: Run, request: np.ndarray, method: Any, budget: Budget, key: Key, noise_key: Key
) -> tuple[Release, Any]:
    """The release, and the method that made it: one with own noise is given as much as the budget asks for."""
    if not declared(method).own_noise:
        return certify(method.forget(run, None, request, key), budget, noise_key), method
    tries = _TRIES
    while True:
        update = method.forget(run, None, request, key)
        try:
            return certify(update, budget, noise_key), method
        except BadInput:
            method, tries = replace(method, noise=2 * method.noise), tries - 1
            if not tries:
                raise
