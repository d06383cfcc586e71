"""Every method on the same requests, one Report for each request."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import jax
import numpy as np

from certunl import registry
from certunl.base import Key
from certunl.certificates.budget import Budget
from certunl.certificates.calibration import certify
from certunl.certificates.certificate import Release
from certunl.certificates.secret import secret_key
from certunl.certificates.update import Unlearner, declared
from certunl.errors import BadInput, Diverged
from certunl.evaluation._attacks import chosen_attacks
from certunl.evaluation.counterfactuals import klom_splits, leave_one_out
from certunl.evaluation.judging import evaluate
from certunl.evaluation.report import Report
from certunl.evaluation.tuning import apart
from certunl.requests import random
from certunl.training.chunks import Keeper
from certunl.training.memory import release_programs
from certunl.training.problem import Dataset
from certunl.training.run import Run

__all__ = ["compare", "every_method"]

_TRIES = 16
"""Noise levels that are tried for a method with noise of its own."""


def every_method(settings: Mapping[str, Any] | None = None, names: Any = None) -> dict[str, Unlearner]:
    """{name: method}, each built with its own settings.

    Args:
        settings: `settings[name]` are the keyword arguments of a method; default: none.
        names: the methods to build; default: every method of the library, except retraining and the methods whose
            preparation serves only one release.

    Raises: BadInput for an unknown name, or settings of a method that is not in `names`.
    """
    chosen = list(names or [])
    if names is None:
        classes = registry.every("methods")
        chosen = [name for name, method in classes.items() if name != "retrain" and not method.serves_once]
    settings = dict(settings or {})
    if unknown := [name for name in settings if name not in chosen]:
        raise BadInput(f"{unknown[0]} has settings but is not compared; the methods are {', '.join(chosen)}")
    return {name: registry.build("methods", name, **settings.get(name, {})) for name in chosen}


def compare(
    run: Run,
    requests: Mapping[str, Any],
    key: Key,
    *,
    test: Dataset,
    methods: Mapping[str, Unlearner] | None = None,
    reference: Unlearner | None = None,
    budget: Budget | None = None,
    attacks: Any = None,
    shadows: int = 16,
    models: int = 0,
    single: int = 0,
    patience: float = 60.0,
    tuning: Mapping[str, Any] | None = None,
    checkpoints: Keeper | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[Report]:
    """One Report for each request. Every method forgets the request, is certified, evaluated and attacked.

    All methods start from the same trained model, and each certificate counts its release as the only one. Nothing may
    be published, because the noise is drawn from `key`. The reports are secret, like the un-noised models.

    A method that cannot forget a request is named in `Report.left_out` with the reason. If the certificate of a method
    with noise of its own is refused, the method runs again with twice the noise, up to 15 times. `Report.settings`
    shows the noise that was used.

    Args:
        run: the training run before any of `requests`.
        requests: the ids to forget, by the name of the request.
        key: the randomness of methods, attacks, shadow models and seeds. The noise of releases comes from secrets.
        test: examples that no model was trained on, for metrics and attacks.
        methods: the methods by name; default: `every_method()`.
        reference: the ground truth, as in `evaluate`; a run without a history needs one.
        budget: what each release may reveal; default: epsilon 1 at delta 1e-5.
        attacks: as in `evaluate`.
        shadows: number of shadow models, as in `evaluate`. The default is 16, because every method forgets in each.
        models: number of seeds for `klom_splits`, at least 10; 0 leaves it out. Tables call fewer than 100 few.
        single: number of random examples for `leave_one_out`, at least 3; 0 leaves it out.
        patience: seconds. If forgetting `shadows`, `models` or `single` times takes a method longer than that, the
            method is left out of U-LiRA, `klom_splits` or `leave_one_out`.
        tuning: the ids of another request of the same kind, by the name of a request. Each method then has the best of
            a few settings on that one (`tune`), and the column "tuning_seconds". Default: no method is tuned, and
            `Report.settings` says so.
        checkpoints: `Checkpoints(folder)`, which keeps the retraining, the shadow models and those of the seeds, so
            that the same call does not train them again after a kill. Default: none.
        tell: called with a sentence about each step.
    """
    methods, tell = every_method() if methods is None else methods, tell or _ignored
    budget = Budget(epsilon=1.0, delta=1e-5) if budget is None else budget
    test = run.problem.admit(test)
    chosen_attacks(attacks, shadows)
    for name, count, least in (("models", models, 10), ("single", single, 3)):
        if count and count < least:
            raise BadInput(f"{name} must be at least {least}, or 0 to leave it out, got {count!r}")
    if reference is None and not run.history:
        raise BadInput("this run was adopted without a history; give reference=Retrain(afresh=Recipe(...))")
    requests = {title: run.check(ids) for title, ids in requests.items()}
    reports = []
    for number, (title, request) in enumerate(requests.items()):
        keys = jax.random.split(jax.random.fold_in(key, number), 6)
        states = checkpoints and checkpoints.within(str(number))
        releases: dict[str, Release] = {}
        able: dict[str, Unlearner] = {}
        missing: dict[str, str] = {}
        other = tuning.get(title) if tuning else None
        tuned = {} if other is None else apart(run, methods, request, other, keys[0], test, reference, tell, title)
        for name, method in methods.items():
            method = tuned[name].method if name in tuned else method
            tell(f"{title}: forgetting by {name}")
            release_programs()
            try:
                releases[name], able[name] = _loud_enough(run, request, method, budget, keys[0])
            except (BadInput, Diverged) as error:
                missing[name] = str(error)
        tell(f"{title}: evaluating and attacking {len(releases)} models")
        cost = {name: release.update.cost["seconds"] for name, release in releases.items()}

        def quick(times: int, cost: dict[str, float] = cost, able: Any = able, missing: Any = missing) -> Any:
            for name in able:
                if times and cost[name] * times > patience:
                    missing[f"many models of {name}"] = (
                        f"forgetting {times} times takes {cost[name] * times:.3g} s, more than {patience:g}"
                    )
            return {name: method for name, method in able.items() if cost[name] * times <= patience}

        report = evaluate(
            run,
            request,
            releases,
            test=test,
            reference=reference,
            key=keys[2],
            attacks=attacks,
            shadows=shadows,
            methods=quick(shadows),
            checkpoints=states,
        )
        columns: dict[str, dict[str, float]] = {name: {} for name in report.rows}
        for name in report.rows:
            if (choice := tuned.get(name.removesuffix(" + noise"))) is not None:
                columns[name]["tuning_seconds"] = choice.seconds
        if models:
            seeds = list(jax.random.split(keys[3], models))
            try:
                percent = klom_splits(run, quick(models), request, test, seeds, checkpoints=states)
                for name, percentiles in percent.items():
                    columns[name] |= percentiles
            except (BadInput, Diverged) as error:
                missing["many models"] = str(error)
        if single:
            each = random(keys[4], run, single)
            for name, method in quick(single).items():
                try:
                    correlations = leave_one_out(run, method, each, keys[5], data=test).correlations()
                    columns[name] |= {f"leave_one_out_{column}": value for column, value in correlations.items()}
                except (BadInput, Diverged) as error:
                    missing[f"single deletions by {name}"] = str(error)
        reports.append(
            replace(
                report,
                rows={name: row | columns[name] for name, row in report.rows.items()},
                request=title,
                models=models,
                certificates={name: str(release.certificate) for name, release in releases.items()},
                left_out=missing | report.left_out,
                settings=report.settings
                | {f"method {name}": repr(method) for name, method in able.items()}
                | ({f"tuning of {name}": str(choice) for name, choice in tuned.items()} or {"tuning": _UNTUNED}),
            )
        )
    return reports


_UNTUNED = "untuned: every method ran once, with the settings named here"


def _ignored(sentence: str) -> None:
    """The default of `tell`."""


def _loud_enough(run: Run, request: np.ndarray, method: Any, budget: Budget, key: Key) -> tuple[Release, Any]:
    """The release and the method that made it. The noise of a method with noise of its own is raised to the budget.

    All noise comes from secrets of the system, because noise from `key` would make every certificate CONDITIONAL.
    """
    if not declared(method).own_noise:
        return certify(method.forget(run, None, request, key), budget), method
    tries = _TRIES
    while True:
        update = method.forget(run, None, request, secret_key())
        try:
            return certify(update, budget), method
        except BadInput:
            tries -= 1
            if not tries or "noise" not in {field.name for field in fields(method)}:
                raise
            method = replace(method, noise=2 * method.noise)
