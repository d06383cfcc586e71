"""An audit in one run: coins put canaries in or leave them out, the canaries are forgotten, the coins are guessed."""

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.audits.audit import Audit
from certunl.audits.one_run import one_run_lower_bound
from certunl.base import Key, Params
from certunl.certificates.budget import Budget
from certunl.certificates.calibration import certify
from certunl.certificates.certificate import Certificate
from certunl.certificates.update import Unlearner, Update, declared
from certunl.errors import BadInput, Diverged, typed_key
from certunl.training.dataset import Dataset, check_data, end_to_end, rowwise
from certunl.training.problem import Problem
from certunl.training.run import Run
from certunl.training.schedule import schedule_of
from certunl.training.supervised import wrong_labels
from certunl.training.training import fit, retrained

__all__ = ["audit_canaries"]


def audit_canaries(
    run: Run,
    method: Unlearner,
    budget: Budget,
    extra: Dataset,
    key: Key,
    *,
    mislabelled: float = 0.5,
    confidence: float = 0.99,
    guesses: int | None = None,
) -> Audit:
    """An `Audit` of the certificates that `method` gets under `budget`, from one training run with canaries.

    A fair coin decides for each canary whether it is in. A new model is trained by the recipe of `run`, on the present
    data of `run` and the canaries that are in. Its schedule is drawn for all canaries; those that are out have weight
    0. The canaries that are in are then forgotten as one request, and the update is certified. The attacker knows the
    release. It also trains a model without any canary on the same schedule. The score of a canary is its loss under
    that model minus its loss under the release. The largest scores are guessed to be in and the smallest to be out,
    half of the guesses each. The attacker abstains on the other canaries.

    The release is compared with the same law for all coins, since that law contains no canary. The audit therefore
    tests the whole request (`one_run_lower_bound`): a true (epsilon, delta) claim is refuted with probability at most
    1 − confidence. If nothing is claimed, `Audit.epsilon` is inf, and the bound is still given at the budget's delta.
    Methods whose own steps carry noise are audited like all others. Where the method diverges or `certify` refuses,
    the audit has found nothing: `lower` is 0 and `how` repeats the refusal. A new draw of the coins in its place would
    favour sets of canaries that are easy to forget.

    Args:
        run: the run whose data and recipe are used.
        method: the unlearning method under test.
        budget: the budget of the certificates.
        extra: the canaries, examples that `run` was never trained on.
        key: draws everything, the noise included. Nothing that is trained here may therefore be released.
        mislabelled: share of the canaries that get a wrong class, drawn uniformly.
        confidence: confidence of the audit.
        guesses: number of canaries on which the attacker guesses. Default: half of them.

    Raises: BadInput for examples or settings that do not fit; if the noise or the epsilon of the certificate depends on
    the request, because the law of comparison then depends on it as well; if no canary is in.
    """
    typed_key(key)
    check_data(extra, "the canaries")
    many = len(extra)
    guesses = max(1, many // 2) if guesses is None else guesses
    if not 1 <= guesses <= many:
        raise BadInput(f"guesses must lie between 1 and the {many} canaries, got {guesses}")
    draws = jax.random.split(key, 6)
    problem, ids = _with(run, extra, draws[0], mislabelled)
    coins = np.asarray(jax.random.bernoulli(draws[1], shape=(many,)))
    if not coins.any():
        raise BadInput(f"none of the {many} canaries is in, so there is nothing to forget: use more, or another key")
    trained = _trained(problem, run, ids[~coins], draws[2])
    refused: Any = Diverged
    try:
        update = _forgotten(trained, method, ids[coins], draws[3])
        refused = (BadInput, Diverged)  # wrong settings of the method are no finding
        release = certify(update, budget, draws[4])
    except refused as refusal:
        return Audit(
            lower=0.0,
            epsilon=math.inf if budget.epsilon is None else budget.epsilon,
            delta=budget.delta,
            confidence=confidence,
            how=f"the request of {int(coins.sum())} canaries was refused, so nothing was released or found: {refusal}",
            guesses=guesses,
        )
    certificate = release.certificate
    if not _fixed(certificate):
        raise BadInput(
            f"an audit with canaries needs noise and an epsilon that do not depend on the request, but the bound of "
            f"{certificate.method} does: give the budget a distance, or sigma and epsilon"
        )
    claim = math.inf if certificate.epsilon is None else certificate.epsilon
    most = one_run_lower_bound(guesses, guesses, certificate.total_delta, confidence=confidence)
    without = _retrained(trained, ids[coins])
    score = _losses(problem, without, ids) - _losses(problem, release.params, ids)
    order = np.argsort(score, kind="stable")
    lowest, highest = order[: guesses // 2], order[many - (guesses - guesses // 2) :]
    correct = int(np.sum(coins[highest]) + np.sum(~coins[lowest]))
    delta = certificate.total_delta
    return Audit(
        lower=one_run_lower_bound(correct, guesses, delta, confidence=confidence),
        epsilon=claim,
        delta=delta,
        confidence=confidence,
        how=f"{correct} of {guesses} coins of {many} canaries guessed from one release, {int(coins.sum())} forgotten; "
        f"{guesses} correct guesses would give a bound of {most:.4g}",
        correct=correct,
        guesses=guesses,
    )


def _with(run: Run, extra: Dataset, key: Key, mislabelled: float) -> tuple[Problem, np.ndarray]:
    """The problem on the run's present data followed by all canaries, and the ids of the canaries."""
    data = run.problem.data[np.flatnonzero(run.present)]
    extra = run.problem.admit(extra, "the canaries")
    y, targets = np.asarray(extra.y), np.asarray(data.y)
    if not 0 <= mislabelled <= 1:
        raise BadInput(f"mislabelled must be a share between 0 and 1, got {mislabelled!r}")
    if wrong := round(mislabelled * len(extra)):
        if run.problem.kind not in ("classification", "binary"):
            raise BadInput("only classes can be wrong: set mislabelled=0 for canaries with other targets")
        pick, shift = jax.random.split(key)
        rows = np.asarray(jax.random.permutation(pick, len(extra)))[:wrong]
        y = y.copy()
        y[rows] = wrong_labels(shift, jnp.asarray(y[rows]), int(max(targets.max(), y.max())) + 1)
    ids, owners = np.arange(len(data), len(data) + len(extra), dtype=np.int32), None
    if data.owners is not None:  # each canary gets an owner of its own
        first = int(np.max(np.asarray(data.owners))) + 1
        owners = jnp.concatenate([data.owners, jnp.arange(first, first + len(extra), dtype=data.owners.dtype)])
    both = replace(
        data,
        x=rowwise(end_to_end, data.x, extra.x),
        y=end_to_end(data.y, y),
        owners=owners,
        unchecked=tuple(dict.fromkeys((*data.unchecked, *extra.unchecked))),
    )
    return replace(run.problem, data=both), ids


def _trained(problem: Problem, run: Run, absent: np.ndarray, key: Key) -> Run:
    """A run trained with weight 0 for `absent`; its `schedule` is the one without this mask."""
    start_key, schedule_key = jax.random.split(key)
    schedule = schedule_of(problem, run.recipe, schedule_key)
    present = jnp.asarray(~np.isin(np.arange(len(problem.data)), absent))
    trained = fit(problem, run.recipe, problem.init(start_key), schedule.masked(~present[schedule.indices]))
    return replace(trained, present=present, schedule=schedule)


def _retrained(run: Run, request: np.ndarray) -> Params:
    """The parameters of `run` trained again without `request`, with noise of its own if the recipe has some."""
    if not run.recipe.noise:
        return retrained(run, request)
    schedule = run.schedule.masked(~run.retained(request)[run.schedule.indices])
    return fit(run.problem, run.recipe, run.start, schedule).params


def _forgotten(run: Run, method: Unlearner, request: np.ndarray, key: Key) -> Update:
    """The update after `request`, as if the canaries that are out had never been in the data.

    The masked schedule hides them from methods that go back to the original training run. Methods that minimise with
    denominator="batch" count the examples that training visits. They get the unmasked schedule, on which these canaries
    count as forgotten before.
    """
    masked = replace(run, schedule=run.schedule.masked(~run.present[run.schedule.indices]))
    update = method.forget(masked, _prepared(method, masked), request, key)
    if update.guarantee.sense in ("minimiser", "stationary") and run.recipe.denominator == "batch":
        update = method.forget(run, _prepared(method, run), request, key)
    return update


def _prepared(method: Any, run: Run) -> Any:
    """The result of `prepare` if `forget` cannot do without it, else None: one request does not need all rows."""
    return method.prepare(run) if declared(method).serves_once else None


def _fixed(c: Certificate) -> bool:
    """Whether noise and claim do not depend on the coins."""
    fixed = c.budget.epsilon is not None and bool(c.budget.sigma or c.budget.distance or c.guarantee.own_noise)
    return c.epsilon is None or c.guarantee.every_request or fixed


def _losses(problem: Problem, params: Params, ids: np.ndarray) -> np.ndarray:
    scores: Any = problem.scores(params, problem.data[ids])
    return np.asarray(scores.losses, np.float64)
