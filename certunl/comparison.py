"""Every method on the same requests: one report each."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from certunl import rooms
from certunl.budget import Budget
from certunl.calibration import certify, secret_key
from certunl.certificate import Release
from certunl.counterfactuals import klom_splits, leave_one_out
from certunl.evaluation import Report, evaluate
from certunl.problem import Dataset
from certunl.requests import random
from certunl.training import Run
from certunl.typing import BadInput, Diverged, Key, Unlearner

__all__ = ["compare", "every_method"]

_TRIES = 16
"""How many noise levels are tried."""


def every_method(settings: Mapping[str, Any] | None = None, names: Any = None) -> dict[str, Unlearner]:
    """Methods by name (default: every file of the room but retraining), built with `settings[name]`."""
    chosen = [name for name in rooms.names("methods") if name != "retrain"] if names is None else list(names)
    given = dict(settings or {})
    if unknown := [name for name in given if name not in chosen]:
        raise BadInput(
            f"settings are for a method that is not compared: {unknown[0]}; compared are {', '.join(chosen)}"
        )
    return {name: rooms.build("methods", name, **given.get(name, {})) for name in chosen}


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

    Nothing is released: the reports are the owner's. A method that cannot is named in `Report.left_out` with its
    reason; one whose own steps are too quiet for the budget tries again with twice the noise, up to 15 times.
    `models` > 0 adds the divergence of margins over that many seeds, and `single` > 0 the correlation of loss changes
    over that many single deletions; like U-LiRA only for methods that forget so many times within `patience` seconds.
    `tell` hears what is being done.
    """
    methods, tell = every_method() if methods is None else methods, tell or _nobody
    budget = Budget(epsilon=1.0, delta=1e-5) if budget is None else budget
    reports = []
    for number, (said, ids) in enumerate(requests.items()):
        keys = jax.random.split(jax.random.fold_in(key, number), 4)
        request = run.check(ids)
        releases, missing = {}, {}
        for name, method in methods.items():
            tell(f"{said}: forgetting by {name}")
            try:
                releases[name] = _loud_enough(run, request, method, budget, keys[0])
            except (BadInput, Diverged) as error:
                missing[name] = str(error)
        tell(f"{said}: attacking {len(releases)} models")
        cost = {name: release.update.cost["seconds"] for name, release in releases.items()}

        def quick(times: int, cost: dict[str, float] = cost) -> dict[str, Unlearner]:
            return {name: methods[name] for name, seconds in cost.items() if seconds * times <= patience}

        report = evaluate(
            run,
            request,
            releases,
            test=test,
            key=keys[1],
            attacks=attacks,
            shadows=shadows,
            methods=quick(shadows),
        )
        if models:
            seeds = list(jax.random.split(keys[2], models))
            for name, columns in klom_splits(run, quick(models), request, test, seeds).items():
                report.rows[name] |= columns
        if single:
            each = random(keys[3], run, single)
            for name, method in quick(single).items():
                found = leave_one_out(run, method, each, keys[0], data=test).correlations()
                report.rows[name] |= {f"leave_one_out_{title}": value for title, value in found.items()}
        certificates = {name: str(release.certificate) for name, release in releases.items()}
        gone = missing | report.left_out
        reports.append(replace(report, request=said, certificates=certificates, left_out=gone))
    return reports


def _nobody(sentence: str) -> None:
    """Hears it."""


def _loud_enough(run: Run, request: np.ndarray, method: Any, budget: Budget, key: Key) -> Release:
    """The release; a method with own noise is given what the budget asks for."""
    if not getattr(method, "own_noise", False):
        return certify(method.forget(run, None, request, key), budget, secret_key())
    noise, tries = method.noise, _TRIES
    while True:
        update = replace(method, noise=noise).forget(run, None, request, secret_key())
        try:
            return certify(update, budget, secret_key())
        except BadInput:
            noise, tries = 2 * noise, tries - 1
            if not tries:
                raise
