"""An audit in one run: canaries put in or left out by coins, forgotten, and the coins guessed from the release."""

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.audits.audit import Audit, one_run_lower_bound
from certunl.base import Key, Params
from certunl.certificates.budget import Budget
from certunl.certificates.calibration import certify
from certunl.certificates.certificate import Certificate, Release
from certunl.certificates.update import Unlearner, declared
from certunl.errors import BadInput
from certunl.training.problem import Dataset, Problem
from certunl.training.run import Run, fit, retrained
from certunl.training.schedule import draw
from certunl.training.supervised import wrong_labels

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
    """What one run with canaries refutes of the certificates that `method` gets under `budget`.

    The canaries are the examples of `extra`, never trained on, a share `mislabelled` of them under a wrong class drawn
    uniformly. A model is trained by the recipe of `run` on its present data and every canary whose coin says so, along
    a schedule drawn for all of them in which who is out has weight 0; those who are in are forgotten as one request,
    and certified. An attacker who sees the release, and trains without any canary on the same schedule, scores a canary
    by its loss there minus its loss under the release: the `guesses` (default: half of the canaries) of largest and
    smallest score are said to be in and out, half each; on the others it abstains.

    Whatever the coins, what the release is compared with is one and the same law: nobody among the canaries is in it.
    So the whole request is put to the test (`one_run_lower_bound`): an (epsilon, delta) claim that is true is refuted
    with probability 1 − confidence at most. Where nothing is claimed, `Audit.epsilon` is inf and the bound is told all
    the same, at the budget's delta. Methods whose own steps carry noise are audited like others.

    Everything is drawn from `key`, noise as well: nothing of what was trained here may be released.
    Raises: BadInput for other examples or settings than these; where the noise or the epsilon of a certificate depends
    on who asks (then the law it is compared with does as well); where no canary came in.
    """
    many = len(extra)
    guesses = max(1, many // 2) if guesses is None else guesses
    if not 1 <= guesses <= many:
        raise BadInput(f"guesses must lie between 1 and the {many} canaries, got {guesses}")
    draws = jax.random.split(key, 6)
    problem, ids = _with(run, extra, draws[0], mislabelled)
    coins = np.asarray(jax.random.bernoulli(draws[1], shape=(many,)))
    if not coins.any():
        raise BadInput(f"none of the {many} canaries came in, so there is nobody to forget: use more, or another key")
    trained = _trained(problem, run, ids[~coins], draws[2])
    release = _forgotten(trained, method, budget, ids[coins], draws[3], draws[4])
    certificate = release.certificate
    claim = math.inf if certificate.epsilon is None else certificate.epsilon
    most = one_run_lower_bound(guesses, guesses, certificate.total_delta, confidence=confidence)
    without = retrained(trained, ids[coins])
    score = _losses(problem, without, ids) - _losses(problem, release.params, ids)
    order = np.argsort(score, kind="stable")
    said_out, said_in = order[: guesses // 2], order[many - (guesses - guesses // 2) :]
    correct = int(np.sum(coins[said_in]) + np.sum(~coins[said_out]))
    delta = certificate.total_delta
    return Audit(
        lower=one_run_lower_bound(correct, guesses, delta, confidence=confidence),
        epsilon=claim,
        delta=delta,
        confidence=confidence,
        how=f"{correct} of {guesses} coins of {many} canaries guessed from one release, {int(coins.sum())} forgotten; "
        f"all of them right would have shown {most:.4g}",
        correct=correct,
        guesses=guesses,
    )


def _with(run: Run, extra: Dataset, key: Key, mislabelled: float) -> tuple[Problem, np.ndarray]:
    """The problem on the run's present data and all canaries, and the ids of those."""
    data = run.problem.data[np.flatnonzero(run.present)]
    extra.check()
    y, known = np.asarray(extra.y), np.asarray(data.y)
    if np.shape(extra.x)[1:] != data.x.shape[1:] or y.shape[1:] != known.shape[1:]:
        raise BadInput(f"canaries must be like the data, x {list(data.x.shape[1:])}, got {list(np.shape(extra.x)[1:])}")
    if not 0 <= mislabelled <= 1:
        raise BadInput(f"mislabelled is a share between 0 and 1, got {mislabelled!r}")
    if wrong := round(mislabelled * len(extra)):
        if not np.issubdtype(known.dtype, np.integer) or not np.issubdtype(y.dtype, np.integer):
            raise BadInput("only classes can be wrong: set mislabelled=0 for canaries with other targets")
        pick, shift = jax.random.split(key)
        who = np.asarray(jax.random.permutation(pick, len(extra)))[:wrong]
        y = y.copy()
        y[who] = wrong_labels(shift, jnp.asarray(y[who]), int(max(known.max(), y.max())) + 1)
    ids, owners = np.arange(len(data), len(data) + len(extra), dtype=np.int32), None
    if data.owners is not None:  # everyone of the canaries is their own
        first = int(np.max(np.asarray(data.owners))) + 1
        owners = jnp.concatenate([data.owners, jnp.arange(first, first + len(extra), dtype=data.owners.dtype)])
    both = replace(
        data,
        x=jnp.concatenate([data.x, jnp.asarray(extra.x, data.x.dtype)]),
        y=jnp.concatenate([data.y, jnp.asarray(y, data.y.dtype)]),
        owners=owners,
        unchecked=tuple(dict.fromkeys((*data.unchecked, *extra.unchecked))),
    )
    return replace(run.problem, data=both), ids


def _trained(problem: Problem, run: Run, absent: np.ndarray, key: Key) -> Run:
    """Trained where `absent` have weight 0; its schedule is the one for all."""
    start_key, schedule_key = jax.random.split(key)
    schedule = draw(schedule_key, run.recipe, len(problem.data))
    present = jnp.asarray(~np.isin(np.arange(len(problem.data)), absent))
    trained = fit(problem, run.recipe, problem.init(start_key), schedule.masked(~present[schedule.indices]))
    return replace(trained, present=present, schedule=schedule)


def _forgotten(run: Run, method: Unlearner, budget: Budget, request: np.ndarray, key: Key, noise_key: Key) -> Release:
    """The release after `request`. Who is out was never there: to a method that goes back to training as it was, the
    schedule says so; to others, who count whom training visited, being forgotten before."""
    masked = replace(run, schedule=run.schedule.masked(~run.present[run.schedule.indices]))
    update = method.forget(masked, _prepared(method, masked), request, key)
    if update.guarantee.sense == "minimiser" and run.recipe.denominator == "batch":
        update = method.forget(run, _prepared(method, run), request, key)
    release = certify(update, budget, noise_key)
    if not _fixed(release.certificate):
        raise BadInput(
            f"an audit with canaries needs noise and an epsilon that do not depend on who asks, and the bound of "
            f"{update.method} does: give the budget a distance, or sigma and epsilon"
        )
    return release


def _prepared(method: Any, run: Run) -> Any:
    """What the method cannot do without: rows of everyone are for many requests, and this is one."""
    return method.prepare(run) if declared(method).serves_once else None


def _fixed(c: Certificate) -> bool:
    """Whether noise and claim are known before the coins."""
    fixed = c.budget.epsilon is not None and bool(c.budget.sigma or c.budget.distance or c.guarantee.own_noise)
    return c.epsilon is None or c.guarantee.every_request or fixed


def _losses(problem: Problem, params: Params, ids: np.ndarray) -> np.ndarray:
    scores: Any = problem.scores(params, problem.data[ids])
    return np.asarray(scores.losses, np.float64)
