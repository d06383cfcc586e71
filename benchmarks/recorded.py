"""The records of `same_numbers`: updates, certificates, reports, trainings, streams, audits and attacks."""

import hashlib
import math
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import certunl as cu
from benchmarks.variants import BUDGETS, DELTA, RECIPES, VARIANTS, Ground, Variant, grounds, wine

__all__ = ["Notes", "record"]

FORGET_KEY, JUDGE_KEY, AUDIT_KEY = jax.random.split(jax.random.key(1), 3)


class Notes:
    """The results: `numbers` as hexadecimal floats, digests and words, `texts` as digests and refusals."""

    def __init__(self) -> None:
        self.numbers: dict[str, str] = {}
        self.texts: dict[str, str] = {}

    def number(self, name: str, value: Any) -> None:
        self.numbers[name] = str(value) if value is None or isinstance(value, str) else float(value).hex()

    def arrays(self, name: str, tree: Any) -> None:
        """A digest of the bytes and the norm."""
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
        digest = hashlib.sha256()
        for leaf in leaves:
            digest.update(f"{leaf.dtype}{leaf.shape}".encode() + leaf.tobytes())
        self.numbers[f"{name}/bytes"] = f"sha256 {digest.hexdigest()}"
        self.number(f"{name}/norm", math.sqrt(sum(float(np.sum(leaf.astype(np.float64) ** 2)) for leaf in leaves)))

    def attempt(self, name: str, work: Callable[[], Any]) -> Any:
        """The result of `work`. None, with a note, if it is refused."""
        try:
            return work()
        except (cu.BadInput, cu.Diverged) as error:
            self.numbers[name] = "refused" if isinstance(error, cu.BadInput) else "diverged"
            self.texts[name] = f"{self.numbers[name]}: {str(error)[:60]}"
            return None


def methods(notes: Notes) -> None:
    """The update of every variant on every ground, its certificate, and its row in a report."""
    named = {variant.method for variant in VARIANTS.values()}
    others = {name: Variant(name) for name in cu.registry.names("methods") if name not in named}
    for place, ground in grounds().items():
        notes.arrays(f"{place}/trained", ground.run.params)
        updates = {}
        for title, variant in (VARIANTS | others).items():
            if re.fullmatch(ground.tried, title):
                name = f"{place}/{title}"
                update = notes.attempt(name, lambda v=variant, g=ground: _forgotten(v, g))
                if update is not None:
                    _judged(notes, name, update)
                    updates[title] = update
        report = cu.evaluate(ground.run, ground.request, updates, test=ground.test, reference=updates["retrain"])
        _reported(notes, place, report)


def _forgotten(variant: Variant, ground: Ground) -> Any:
    method = cu.registry.build("methods", variant.method, **variant.settings)
    with tempfile.TemporaryDirectory() as folder:
        match variant.rows:
            case "none":
                prepared = None
            case "store":
                prepared = method.store(ground.run, folder)
            case "bfloat16":
                prepared = method.store(ground.run, folder, dtype="bfloat16")
            case "fixed":
                prepared = jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.01), method.prepare(ground.run))
            case _:
                prepared = method.prepare(ground.run)
        return method.forget(ground.run, prepared, ground.request, FORGET_KEY)


def _judged(notes: Notes, name: str, update: cu.Update) -> None:
    notes.arrays(f"{name}/params", update.params)
    notes.number(f"{name}/bound", update.bound)
    for fact in sorted(update.cost):
        if "seconds" not in fact:
            notes.number(f"{name}/cost/{fact}", update.cost[fact])
    for title, (budget, settings) in BUDGETS.items():
        title = f"{name}/budget {title}"
        release = notes.attempt(title, lambda b=budget, s=settings: cu.certify(update, b, cu.secret_key(), **s))
        if release is not None:
            certificate = release.certificate
            _certified(notes, title, certificate)
            words = " ".join(str(replace(certificate, parameter_norm=1.0)).split())
            words = re.sub(r"\d+(\.\d+)?(e[+-]\d+)?", "#", words)
            notes.texts[title] = f"sha256 {hashlib.sha256(words.encode()).hexdigest()}"


def _certified(notes: Notes, name: str, certificate: cu.Certificate) -> None:
    for fact in ("verdict", "sigma", "epsilon"):
        notes.number(f"{name}/{fact}", getattr(certificate, fact))
    notes.number(f"{name}/composed", certificate.account.epsilon(1e-3))


def _reported(notes: Notes, name: str, report: cu.Report) -> None:
    for row, columns in report.rows.items():
        for column, value in columns.items():
            if "seconds" not in column:
                notes.number(f"{name}/report/{row}/{column}", value)
    for row, attacks in report.attacks.items():
        for attack, found in attacks.items():
            for fact in ("auc", "low", "high", "tpr_at_1", "members"):
                notes.number(f"{name}/attacks/{row}/{attack}/{fact}", getattr(found, fact))
    for row, accuracies in report.tradeoffs.items():
        notes.arrays(f"{name}/tradeoff/{row}", [np.array(list(accuracies)), np.array(list(accuracies.values()))])


def trainings(notes: Notes) -> None:
    """One network with every recipe: training, retraining, rows, attributions and many retrainings at once."""
    method = cu.HessianFree()
    for title, settings in RECIPES.items():
        run, request, test, _ = wine(**settings)
        name = f"training {title}"
        notes.arrays(name, run.params)
        notes.arrays(f"{name}/retrained", cu.Retrain().forget(run, None, request, FORGET_KEY).params)
        notes.arrays(f"{name}/forgotten", method.forget(run, None, request, FORGET_KEY).params)
        if title in ("sgd", "adam"):
            notes.arrays(f"{name}/attributions", cu.attribute(run, run.params))
            notes.arrays(f"{name}/loss changes", cu.loss_changes(run, test))
            notes.arrays(f"{name}/retrainings", cu.retrainings(run, [[0], [1, 2], request]))
    run, request, test, _ = wine()
    notes.arrays("seeds", cu.seeds(run, list(jax.random.split(FORGET_KEY, 3))))
    left = cu.leave_one_out(run, method, request, FORGET_KEY, data=test)
    notes.arrays("leave one out", [left.predicted, left.true, left.predicted_mean, left.true_mean])
    splits = cu.klom_splits(run, {"retrain": cu.Retrain()}, request, test, list(jax.random.split(FORGET_KEY, 10)))
    for split, value in splits["retrain"].items():
        notes.number(f"seeds/{split}", value)
    for title in ("random:4", "class:1:4", "hardest:4", "influential:4", "near_duplicates:4"):
        notes.arrays(f"request {title}", cu.requests.parse(title, JUDGE_KEY, run))


def streams(notes: Notes) -> None:
    """Three requests one after another, by Newton, and by rows that are then measured and repaired."""
    run, *_ = wine(radius=20.0)
    rows = cu.HessianFree()
    for title, method in (("hessian_free", rows), ("newton", cu.Newton(operator="ggn", damping=1.0))):
        account = cu.Account(total=cu.Budget(epsilon=100.0, delta=1e-3))
        stream = cu.Stream(run=run, method=method, prepared=method.prepare(run), account=account)
        for number, request in enumerate(([3, 8], [21, 30, 31], [50])):
            budget, name = cu.Budget(epsilon=2.0, delta=DELTA), f"stream {title}/{number}"
            release, stream = stream.forget(request, budget, FORGET_KEY, cu.secret_key(), trivial=True)
            notes.arrays(f"{name}/params", stream.run.params)
            _certified(notes, name, release.certificate)
        notes.number(f"stream {title}/moved", stream.moved)
        if method is rows:
            stream = stream.measured(JUDGE_KEY, size=3)
            staleness: Any = stream.staleness
            notes.number("stream repaired/budget", staleness.budget)
            stream = stream.repair(JUDGE_KEY, epochs=1)
            notes.arrays("stream repaired/params", stream.run.params)
            notes.arrays("stream repaired/correction", stream.prepared.correction([60, 61]))


def audits(notes: Notes) -> None:
    """Audits of certificates, and every attack."""
    run, request, test, _ = wine(radius=20.0)
    noisy = cu.NoisyFineTuning(radius=2.0, noise=1.0)
    update = noisy.forget(run, None, request, FORGET_KEY)
    certificate = cu.certify(update, cu.Budget(epsilon=50.0, delta=DELTA), cu.secret_key()).certificate
    fresh = noisy.forget(run, None, [1], FORGET_KEY)

    def mechanism(whose: Any) -> Callable[[Any], Any]:
        return lambda key: jax.tree.map(lambda leaf: leaf + 0.02 * jax.random.normal(key, leaf.shape), whose.params)

    found = {"runs": cu.audit_runs(mechanism(update), mechanism(fresh), certificate, runs=100, key=AUDIT_KEY)}
    budget = cu.Budget(epsilon=1.0, sigma=50.0, delta=DELTA)
    found["canaries"] = cu.audit_canaries(run, cu.Retrain(), budget, test, AUDIT_KEY)
    for title, audit in found.items():
        for fact in ("lower", "epsilon", "delta"):
            notes.number(f"audit {title}/{fact}", getattr(audit, fact))
    tried = {"finetune": cu.FineTune(), "hessian_free": cu.HessianFree()}
    request = cu.requests.random(AUDIT_KEY, run, size=20)
    updates = {name: method.forget(run, None, request, FORGET_KEY) for name, method in tried.items()}
    report = cu.evaluate(run, request, updates, test=test, key=JUDGE_KEY, shadows=4, methods=tried)
    _reported(notes, "attacked", report)


def record() -> Notes:
    """All records, in the precision of this process."""
    notes = Notes()
    for part in (methods, trainings, streams, audits):
        part(notes)
    return notes
