"""An audit in one run: coins put canaries in or leave them out, the canaries are forgotten, the coins are guessed."""

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.audits._canary_run import gains, pulls, trained_with, with_canaries
from certunl.audits.audit import Audit
from certunl.audits.one_run import one_run_lower_bound
from certunl.base import Key
from certunl.certificates.budget import Budget
from certunl.certificates.calibration import certify
from certunl.certificates.certificate import Certificate
from certunl.certificates.update import Unlearner, Update, declared
from certunl.errors import BadInput, Diverged, typed_key
from certunl.training.dataset import Dataset, check_data
from certunl.training.run import Run

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
    alone: bool = False,
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

    With `alone`, the claim about each canary alone is tested instead. This is for a method that releases the trained
    model as it is, because its noise hides each example, such as `NoisyRetrain()`. Nothing is forgotten then. The
    budget is that of one canary, and the certificate is that of the canary with the most slots in the schedule. The
    score of a canary is how far it has pulled the release along its own gradient (`pulls`). It is strongest for
    canaries with inputs of their own. The bound is `one_run_lower_bound(group=False)`, in its Gaussian form if the
    certificate rests on a Gaussian trade-off.

    Args:
        run: the run whose data and recipe are used.
        method: the unlearning method under test.
        budget: the budget of the certificates.
        extra: the canaries, examples that `run` was never trained on.
        key: draws everything, the noise included. Nothing that is trained here may therefore be released.
        mislabelled: share of the canaries that get a wrong class, drawn uniformly.
        confidence: confidence of the audit.
        guesses: number of canaries on which the attacker guesses. Default: half of them, and a tenth with `alone`.
        alone: test what is claimed of each canary alone. Default: of all that are in, as one request.

    Raises: BadInput for examples or settings that do not fit; if the noise or the epsilon of the certificate depends on
    the request, because the law of comparison then depends on it as well; if no canary is in; with `alone`, for a
    method that does not release the trained model with noise of its own.
    """
    typed_key(key)
    check_data(extra, "the canaries")
    many = len(extra)
    if run.recipe.batches == "secret":
        raise BadInput('an audit by canaries knows the batches, so it cannot test secret ones; use batches="poisson"')
    guesses = max(1, many // (10 if alone else 2)) if guesses is None else guesses
    if not 1 <= guesses <= many:
        raise BadInput(f"guesses must lie between 1 and the {many} canaries, got {guesses}")
    draws = jax.random.split(key, 6)
    problem, ids = with_canaries(run, extra, draws[0], mislabelled)
    coins = np.asarray(jax.random.bernoulli(draws[1], shape=(many,)))
    if not coins.any():
        raise BadInput(f"none of the {many} canaries is in, so there is nothing to forget: use more, or another key")
    trained = trained_with(problem, run, ids[~coins], draws[2])
    refused: Any = Diverged
    try:
        update = (_untouched if alone else _forgotten)(trained, method, ids if alone else ids[coins], draws[3])
        refused = (BadInput, Diverged)  # wrong settings of the method are no finding
        release = certify(update, budget, draws[4])
    except refused as refusal:
        return Audit(
            lower=0.0,
            epsilon=math.inf if budget.epsilon is None else budget.epsilon,
            delta=budget.delta,
            confidence=confidence,
            how=f"the request of {1 if alone else int(coins.sum())} canaries was refused, so nothing was released or "
            f"found: {refusal}",
            guesses=guesses,
        )
    certificate = release.certificate
    if not _fixed(certificate):
        raise BadInput(
            f"an audit with canaries needs noise and an epsilon that do not depend on the request, but the bound of "
            f"{certificate.method} does: give the budget a distance, or sigma and epsilon"
        )
    delta, guarantee = certificate.total_delta, certificate.guarantee
    form: dict[str, Any] = {"confidence": confidence, "canaries": many}
    form |= {"group": False, "gaussian": guarantee.gaussian and not guarantee.failure_probability} if alone else {}
    score = (
        pulls(trained, ids, release.params, draws[5])
        if alone
        else gains(trained, ids[coins], ids, release.params, draws[5])
    )
    order = np.argsort(score, kind="stable")
    lowest, highest = order[: guesses // 2], order[many - (guesses - guesses // 2) :]
    correct = int(np.sum(coins[highest]) + np.sum(~coins[lowest]))
    most = one_run_lower_bound(guesses, guesses, delta, **form)
    return Audit(
        lower=one_run_lower_bound(correct, guesses, delta, **form),
        epsilon=math.inf if certificate.epsilon is None else certificate.epsilon,
        delta=delta,
        confidence=confidence,
        how=f"{correct} of {guesses} coins of {many} canaries guessed from one release, {int(coins.sum())} "
        f"{'in, each of them alone' if alone else 'forgotten'}; {guesses} correct guesses would give a bound of "
        f"{most:.4g}",
        correct=correct,
        guesses=guesses,
    )


def _untouched(run: Run, method: Unlearner, canaries: np.ndarray, key: Key) -> Update:
    """The update after a request of the one canary with the most slots, which is the trained model."""
    visited = np.asarray(run.schedule.indices)[np.asarray(run.schedule.weights) != 0]
    slots = np.bincount(visited, minlength=len(run.present))
    every = replace(run, present=jnp.ones_like(run.present))
    update = method.forget(every, _prepared(method, every), canaries[[np.argmax(slots[canaries])]], key)
    same = jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), update.params, run.params)
    if not (update.guarantee.own_noise and all(jax.tree.leaves(same))):
        raise BadInput(
            f"alone audits a method that releases the trained model as it is, with noise of its own, such as "
            f"NoisyRetrain(), but {update.method} does not; leave alone out"
        )
    return update


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
