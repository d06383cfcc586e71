"""One forgotten model, or several, judged against true retraining."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.audits.audit import Audit
from certunl.audits.refutation import audit_release
from certunl.base import Key, Params
from certunl.certificates.certificate import Release
from certunl.certificates.guarantee import REPLAY, Guarantee
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput
from certunl.evaluation._attacks import chosen_attacks
from certunl.evaluation._judge import Judge
from certunl.evaluation.report import Report
from certunl.evaluation.tradeoff import tradeoff
from certunl.membership.attack import attack_all
from certunl.membership.relearning import relearn_epochs
from certunl.membership.target import Attack
from certunl.methods.retrain import Retrain
from certunl.training.problem import Dataset
from certunl.training.run import Run

__all__ = ["evaluate", "evaluate_all"]

_SURE = 0.9999
"""Confidence of the audit that every release on a page goes through: a page holds many."""


def evaluate(
    run: Run,
    request: Any,
    release: Update | Release | Mapping[str, Update | Release],
    *,
    test: Dataset | None = None,
    reference: Unlearner | Update | None = None,
    key: Key | None = None,
    attacks: Any = None,
    shadows: int = 16,
    methods: Mapping[str, Unlearner] | None = None,
) -> Report:
    """Judges one forgotten model, or several of the same request by name, against true retraining.

    `reference` gives the truth: a method (default `Retrain()`) or its Update. Distances are of the un-noised
    parameters, with the certificate's bound on its distance (to the reference it names) and the trivial one beside
    them; a release with added noise has a second row «... + noise», and where the method's own steps carry the noise
    the bound is of laws, no distance, and left out. `run` is the run before `request` was forgotten. A certificate that
    compares with retraining is put to the test (`audit_release`): one that fails has the verdict REFUTED.

    With a `key`, and a `test` set, every row is attacked: `attacks` are names, or attacks by name (default: all);
    `shadows` models are trained for those that need them (0: these are left out), and `methods`, by the names of
    releases, let shadow models forget likewise (U-LiRA). Then accuracy is told against noise too, and the epochs in
    which each model learns the request again.
    """
    request = run.check(request)
    releases = dict(release) if isinstance(release, Mapping) else {_update(release).method: release}
    truth = reference or Retrain()
    if not isinstance(truth, Update):
        truth = truth.forget(run, None, request, jax.random.key(0))
    if key is not None and test is None:
        raise BadInput("attacks compare forgotten examples with examples nobody saw: give a test set")
    if key is None and (attacks is not None or methods is not None):
        raise BadInput("attacks draw candidates and shadow models: give a key")
    if unknown := sorted({*(methods or {})} - {*releases}):
        raise BadInput(f"there is no release {unknown[0]!r}; methods are named as releases are")
    if "original" in releases:
        raise BadInput('"original" is the row of doing nothing: give your release another name')
    judge = Judge(run, request, truth, test)
    models = {"original": run.params, "retrain": truth.projected()}
    rows = {"original": judge.row(run.params, {}), "retrain": judge.row(models["retrain"], truth.cost)}
    verdicts: dict[str, str] = {}
    audits: dict[str, Audit] = {}
    for name, item in releases.items():
        update = _update(item)
        if jax.tree.structure(update.params) != jax.tree.structure(run.params):
            raise BadInput(f"{name} has other parameters than the run: it comes from another model")
        if update is not truth:
            models[name], rows[name] = update.projected(), judge.row(update.projected(), update.cost)
        if isinstance(item, Release):
            certificate = item.certificate
            verdicts[name] = certificate.verdict
            if (
                truth.guarantee.exact
                and (audit := audit_release(run, request, item, reference=truth, confidence=_SURE)) is not None
            ):
                audits[name] = audit
                verdicts[name] = "REFUTED" if audit.refuted else certificate.verdict
            if certificate.bound is not None and name in rows and not certificate.guarantee.own_noise:
                rows[name] |= {"bound_to_its_reference": certificate.bound, "trivial_bound": certificate.ceiling}
            if certificate.sigma > certificate.guarantee.own_noise:
                noised = f"{name} + noise"
                models[noised], rows[noised] = item.params, judge.row(item.params, update.cost)
                rows[noised]["sigma"] = certificate.sigma
                verdicts[noised] = verdicts[name]
    report = Report(rows=rows, forgotten=len(request), verdicts=verdicts, audits=audits)
    if key is None or test is None:
        return report
    return _interrogated(report, run, request, models, test, key, chosen_attacks(attacks, shadows), shadows, methods)


def _interrogated(
    report: Report,
    run: Run,
    request: np.ndarray,
    models: dict[str, Params],
    test: Dataset,
    key: Key,
    attacks: dict[str, Attack],
    shadows: int,
    methods: Mapping[str, Unlearner] | None,
) -> Report:
    """The report with attacks, controls, relearning and the price of noise."""
    attack_key, relearn_key, noise_key = jax.random.split(key, 3)
    test = jax.tree.map(jnp.asarray, test)
    known = {"original": _Nothing(), "retrain": Retrain(), **(methods or {})}
    known |= {f"{name} + noise": method for name, method in known.items()}
    noise = {name: row["sigma"] for name, row in report.rows.items() if "sigma" in row}
    try:
        found, controls, missing = attack_all(
            run, request, models, test, attack_key, attacks, shadows=shadows, methods=known, noise=noise
        )
    except BadInput as error:  # too few examples to tell members from others
        found, controls, missing = {}, {}, {"attacks": str(error)}
    for name, params in models.items():
        report.rows[name]["relearn_epochs"] = relearn_epochs(run, params, request, relearn_key)
    tradeoffs = {}
    if run.problem.scores(run.params, test).correct is not None:
        for name, params in models.items():
            sigma = report.rows.get(f"{name} + noise", {}).get("sigma")
            if name == "retrain" or sigma:
                tradeoffs[name] = tradeoff(run.problem, params, test, noise_key, sigma)
    settings = {"shadow models": str(shadows)} | {f"attack {name}": repr(attack) for name, attack in attacks.items()}
    return replace(report, attacks=found, controls=controls, tradeoffs=tradeoffs, left_out=missing, settings=settings)


class _Nothing(Unlearner):
    """Forgets nothing: U-LiRA is then LiRA."""

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        nothing_proved = Guarantee(says=None, reference=REPLAY)
        return Update(params=run.params, method="original", guarantee=nothing_proved, radius=run.recipe.radius)


def evaluate_all(
    run: Run,
    releases: Mapping[str, tuple[np.ndarray, Release]],
    *,
    test: Dataset | None = None,
    key: Key | None = None,
    methods: Mapping[str, Unlearner] | None = None,
    **settings: Any,
) -> list[Report]:
    """One Report per set of forgotten examples: `releases` maps names to (all examples forgotten so far, release).

    Where one of a set was made by retraining, it is the truth; elsewhere the truth is made here. `key`,
    `methods` and `settings` as those of `evaluate`.
    """
    groups: dict[bytes, dict[str, Release]] = {}
    for name, (forgotten, release) in releases.items():
        groups.setdefault(forgotten.tobytes(), {})[name] = release
    reports = []
    for number, (ids, group) in enumerate(groups.items()):
        truth = next((r.update for r in group.values() if r.update.method == "retrain"), None)
        own = None if key is None else jax.random.fold_in(key, number)
        request = np.frombuffer(ids, np.int32)
        made_by = None if methods is None else {name: methods[name] for name in group if name in methods}
        reports.append(evaluate(run, request, group, test=test, reference=truth, key=own, methods=made_by, **settings))
    return reports


def _update(item: Update | Release) -> Update:
    return item.update if isinstance(item, Release) else item
