"""Releases and un-noised updates, compared with retraining."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from certunl.audits.audit import Audit
from certunl.audits.refutation import audit_release
from certunl.base import Key, Params
from certunl.certificates.certificate import Release
from certunl.certificates.guarantee import AFRESH
from certunl.certificates.update import Unlearner, Update, declared
from certunl.errors import BadInput, typed_key
from certunl.evaluation._attacks import chosen_attacks
from certunl.evaluation._interrogation import interrogated
from certunl.evaluation._judge import Judge
from certunl.evaluation._own_reference import distances
from certunl.evaluation.report import Report
from certunl.methods.noisy_retrain import NoisyRetrain
from certunl.methods.retrain import Retrain
from certunl.training.chunks import Keeper
from certunl.training.problem import Dataset
from certunl.training.run import Run

__all__ = ["evaluate", "evaluate_all"]

_OF_ONE_TRAINING = (
    *("distance", "relative_distance", "cosine", "update_cosine"),
    *("loss_change_correlation", "loss_change_rank_correlation"),
    "reference_to_retraining",
)
"""Columns that compare two models of one start and one schedule."""
_SURE = 0.9999
"""Confidence of an audit; it is high because one page holds the audits of many releases."""


def evaluate(
    run: Run,
    request: Any,
    release: Update | Release | Mapping[str, Update | Release],
    *,
    test: Dataset | None = None,
    reference: Unlearner | Update | None = None,
    key: Key | None = None,
    attacks: Any = None,
    shadows: int | None = None,
    methods: Mapping[str, Unlearner] | None = None,
    checkpoints: Keeper | None = None,
) -> Report:
    """The Report of one or several updates or releases of the same request, compared with retraining.

    Distances are those of the un-noised parameters. A release with added noise has a second row «NAME + noise». The
    bound of a certificate on the distance to the reference it names stands beside that distance, with the trivial bound
    and the distance of the reference from retraining. An exact minimiser may lie far from a retraining that was stopped
    early. The bound is left out if the method's own steps carry the noise, because it is not one on a distance. If the
    reference is exact retraining, each certificate that compares with retraining is tested by `audit_release`; the
    verdict of one that fails is REFUTED.

    With a `key` every row is attacked. The Report then also has the epochs in which each model relearns the request,
    and the test accuracy at each noise level.

    Args:
        run: the training run before `request` was forgotten.
        request: the ids of the forgotten examples.
        release: the update or release, or several by name.
        test: examples that no model was trained on; required if there is a `key`.
        reference: the ground truth, a method or its Update; default: `Retrain()`. A run without a history needs one,
            such as `Retrain(afresh=Recipe(...))`. Columns of distances are left out beside a model trained afresh.
        key: the randomness of the attacks; None runs no attack.
        attacks: names of attacks, or attacks by name; default: all.
        shadows: number of shadow models, even and at least 4; 0 leaves out the attacks that need them. Default: 256 if
            so many are cheap (`membership.affordable`), otherwise 16. The report says what few of them understate.
        methods: the methods of releases, by the names of the releases. With them the shadow models forget too (U-LiRA).
        checkpoints: `Checkpoints(folder)`, which keeps the retraining and the shadow models, so that the same call goes
            on after a kill. Default: none.

    Raises: BadInput for settings that contradict one another, or parameters of another model.
    """
    request = run.check(request, *([] if key is None else [key]))
    test = None if test is None else run.problem.admit(test)
    if not isinstance(reference, Update | Unlearner | None):
        raise BadInput(f"reference must be a method such as Retrain(), or its Update, got {type(reference).__name__}")
    releases = dict(release) if isinstance(release, Mapping) else {_update(release).method: release}
    truth = reference or (NoisyRetrain(rewind_to=0) if run.recipe.noise else Retrain())
    if reference is None and not run.history:
        raise BadInput(
            "this run was adopted without the steps of its training, so its retraining cannot be replayed; give "
            "reference=Retrain(afresh=Recipe(...)), or the Update of a model retrained elsewhere"
        )
    if not isinstance(truth, Update):
        method = truth if checkpoints is None else declared(truth).resumable(checkpoints.within("retraining"))
        truth = method.forget(run, None, request, jax.random.key(0))
    if key is not None and test is None:
        raise BadInput("attacks compare forgotten examples with unseen ones; give a test set, or no key")
    if key is None and (attacks is not None or methods is not None):
        raise BadInput("attacks draw candidates and shadow models at random; give a key")
    if unknown := sorted({*(methods or {})} - {*releases}):
        raise BadInput(f"methods must have the names of releases; there is no release {unknown[0]!r}")
    if "original" in releases:
        raise BadInput('"original" is the name of the model before forgetting; give your release another name')
    for name, item in (("the reference", truth), *releases.items()):
        _check_params(name, _update(item).params, run)
    judge = Judge(run, request, truth, test)
    models = {"original": run.params, "retrain": truth.projected()}
    rows = {"original": judge.row(run.params, {}), "retrain": judge.row(models["retrain"], truth.cost)}
    verdicts: dict[str, str] = {}
    claims: dict[str, tuple[float, float]] = {}
    audits: dict[str, Audit] = {}
    for name, item in releases.items():
        update = _update(item)
        if update is not truth:
            models[name], rows[name] = update.projected(), judge.row(update.projected(), update.cost)
        if isinstance(item, Release):
            certificate = item.certificate
            verdicts[name] = certificate.verdict
            if certificate.epsilon is not None:
                claims[name] = certificate.epsilon, certificate.total_delta
            if (
                truth.guarantee.replayed
                and (audit := audit_release(run, request, item, reference=truth, confidence=_SURE)) is not None
            ):
                audits[name] = audit
                verdicts[name] = "REFUTED" if audit.refuted else certificate.verdict
            if certificate.bound is not None and name in rows and not certificate.guarantee.own_noise:
                rows[name] |= {"bound_to_its_reference": certificate.bound, "trivial_bound": certificate.ceiling}
                rows[name] |= distances(run, request, update, truth)
            if certificate.sigma > certificate.guarantee.own_noise:
                noised = f"{name} + noise"
                models[noised], rows[noised] = item.params, judge.row(item.params, update.cost)
                rows[noised]["sigma"] = certificate.sigma
                verdicts[noised] = verdicts[name]
                claims |= {noised: claims[name]} if name in claims else {}
    absent = {}
    if truth.guarantee.reference == AFRESH or run.recipe.noise:
        rows = {name: {c: v for c, v in row.items() if c not in _OF_ONE_TRAINING} for name, row in rows.items()}
        absent["distance to retraining"] = (
            "the reference was trained afresh, from another start on other batches or with other noise, so a distance "
            "to it measures their chance and not forgetting"
        )
    report = Report(
        rows=rows,
        forgotten=len(request),
        verdicts=verdicts,
        audits=audits,
        left_out=absent,
        claims=claims,
        examples=judge.sizes,
    )
    if key is None or test is None:
        return report
    chosen = chosen_attacks(attacks, shadows)
    return interrogated(report, run, request, models, test, key, chosen, shadows, methods, checkpoints)


def evaluate_all(
    run: Run,
    releases: Mapping[str, tuple[np.ndarray, Release]],
    *,
    test: Dataset | None = None,
    key: Key | None = None,
    methods: Mapping[str, Unlearner] | None = None,
    done: Mapping[int, Report] | None = None,
    tell: Callable[[int, Report], None] | None = None,
    checkpoints: Keeper | None = None,
    **settings: Any,
) -> list[Report]:
    """One Report for each set of forgotten examples.

    A release of a set that was made by retraining is the ground truth for that set. Otherwise this function retrains.

    Args:
        run: the training run before any example was forgotten.
        releases: {name: (the ids of all examples forgotten so far, the release)}.
        test, key, methods: as in `evaluate`.
        done: reports of an earlier call by the number of the set, which are not made again. Default: none.
        tell: called with (number of the set, its Report) after each. Default: nothing is.
        checkpoints: as in `evaluate`, in a folder of its own for each set. Default: none.
        settings: other keyword arguments of `evaluate`.
    """
    if key is not None:
        typed_key(key)
    groups: dict[bytes, dict[str, Release]] = {}
    for name, (forgotten, release) in releases.items():
        groups.setdefault(forgotten.tobytes(), {})[name] = release
    reports = []
    for number, (ids, group) in enumerate(groups.items()):
        if done is not None and number in done:
            reports.append(done[number])
            continue
        truth = next((r.update for r in group.values() if r.update.method == "retrain"), None)
        own = None if key is None else jax.random.fold_in(key, number)
        request = np.frombuffer(ids, np.int32)
        theirs = None if methods is None else {name: methods[name] for name in group if name in methods}
        of_set: dict[str, Any] = {"test": test, "reference": truth, "key": own, "methods": theirs}
        states = checkpoints and checkpoints.within(str(number))
        reports.append(evaluate(run, request, group, checkpoints=states, **of_set, **settings))
        if tell is not None:
            tell(number, reports[-1])
    return reports


def _check_params(name: str, params: Params, run: Run) -> None:
    """Raises BadInput unless `params` are finite and like those of `run`."""
    shapes = [jax.tree.map(jax.numpy.shape, tree) for tree in (params, run.params)]
    if jax.tree.structure(params) != jax.tree.structure(run.params) or shapes[0] != shapes[1]:
        raise BadInput(f"{name} comes from another model; its parameters must have the structure of the run's")
    if not all(bool(jax.numpy.isfinite(leaf).all()) for leaf in jax.tree.leaves(params)):
        raise BadInput(f"the parameters of {name} hold NaN or infinity")


def _update(item: Update | Release) -> Update:
    if not isinstance(item, Update | Release):
        raise BadInput(f"evaluate takes the Update of a method's forget, or its Release, got {type(item).__name__}")
    return item.update if isinstance(item, Release) else item
