"""The noise that makes a certificate true. All arithmetic is float64 on the host."""

import math
import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from certunl.base import Key, Params
from certunl.certificates.budget import Account, Budget
from certunl.certificates.certificate import Certificate, Release
from certunl.certificates.gaussian import classical_ratio, noise_ratio, read_epsilon
from certunl.certificates.update import Update
from certunl.errors import BadInput

__all__ = ["certify", "secret_key"]


def secret_key() -> Key:
    """A key from the operating system's entropy: for release noise, never saved and never derived from a seed."""
    return jax.random.wrap_key_data(jnp.asarray(np.frombuffer(os.urandom(8), np.uint32)), impl="threefry2x32")


def certify(
    update: Update, budget: Budget, key: Key, *, trivial: bool = False, account: Account | None = None
) -> Release:
    """Adds calibrated noise to an update and says what that proves.

    sigma = noise_ratio(epsilon, delta) · distance, the distance being `budget.distance` or the smaller of the update's
    bound and the trivial 2·radius. `trivial` uses 2·radius where there is no theorem (output perturbation); without
    it an update with no theorem gets no noise unless the budget gives sigma. To a method with noise of its own nothing
    is added. `account` holds what earlier releases of the same line have spent (default: nothing); the certificate's
    holds this one as well.

    What a certificate states may be known to all only where it is the same whoever asks: an epsilon that the bound of
    one request decides is stated as the budget's.
    Raises: BadInput when the bound exceeds the distance fixed in the budget, the noise is too small for its epsilon,
    the account's total would be exceeded, or there is no ball to be trivial in.
    """
    if not all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(update.params)):
        raise BadInput("the update holds NaN or infinity; there is nothing to release")
    if update.bound is not None and not update.bound >= 0:
        raise BadInput(f"a bound is a distance of at least 0, got {update.bound}")
    if not budget.delta + update.failure_probability < 1:
        raise BadInput(
            f"delta {budget.delta:g} and the solver's failure probability {update.failure_probability:g} leave no "
            "guarantee; lower failure_probability"
        )
    ceiling = math.inf if update.radius is None else 2.0 * update.radius
    bound, theorem = update.bound, update.bound is not None or bool(update.profile)
    if update.noise:
        claim = _own(update, budget)
    else:
        if bound is None and trivial:
            if math.isinf(ceiling):
                raise BadInput("the trivial bound 2·radius needs a model trained in a ball: set Recipe(radius=...)")
            bound, theorem = ceiling, True
        claim = _added(None if bound is None else min(float(bound), ceiling), update, budget)
    account = (account or Account()).charge(
        claim.ratio,
        update.failure_probability,
        pair=claim.pair,
        exact=update.exact and not update.unchecked,
        looks_back=update.looks_back,
    )
    if claim.sigma and claim.epsilon is not None:
        _check_precision(update.params)
    params = center = update.projected()
    if claim.sigma and not update.noise:
        noise = optax.tree.random_like(key, center, sampler=jax.random.normal)
        params = jax.tree.map(lambda p, z: p + claim.sigma * z, center, noise)
    certificate = Certificate(
        verdict=_verdict(update, bound, ceiling, claim, budget) if theorem else "NOT CERTIFIED",
        method=update.method,
        reference=update.reference,
        compared=update.compared,
        budget=budget,
        bound=bound,
        trivial_bound=ceiling,
        sigma=claim.sigma,
        own_noise=bool(update.noise),
        profiled=bool(update.profile),
        uniform=update.uniform,
        epsilon=claim.epsilon,
        delta=budget.delta,
        failure_probability=update.failure_probability,
        assumptions=update.assumptions,
        unchecked=update.unchecked,
        missing=update.missing,
        account=account,
        parameter_norm=float(optax.tree.norm(params)),
        dimension=sum(leaf.size for leaf in jax.tree.leaves(center)),
    )
    return Release(params=params, update=update, certificate=certificate)


class _Claim(NamedTuple):
    """`sigma` in the release; `epsilon` at the budget's delta (None: nothing is proved); what the account is charged: a
    `ratio` of distance to noise, or a `pair` (epsilon, delta)."""

    sigma: float
    epsilon: float | None
    ratio: float | None
    pair: tuple[float, float] | None = None


def _own(update: Update, budget: Budget) -> _Claim:
    """Where the noise is in the method's own steps, whatever the budget."""
    if budget.sigma is not None or budget.distance is not None:
        raise BadInput(f"the noise of {update.method} is in its own steps: a budget for it is an epsilon and a delta")
    assert budget.epsilon is not None  # Budget checks it
    what = f"the noise of {update.method}'s own steps"
    if update.profile:
        epsilon = min((e for e, d in update.profile if d <= budget.delta), default=math.inf)
        stated = _afforded(epsilon, budget, update.uniform, what)
        return _Claim(update.noise, stated, None, (stated, budget.delta))
    if update.bound is None:
        return _Claim(update.noise, None, None)
    epsilon = read_epsilon(update.noise / update.bound, budget.delta) if update.bound else 0.0
    stated = _afforded(epsilon, budget, update.uniform, what)
    return _Claim(update.noise, stated, _charged(update.bound, update.noise, stated, budget))


def _added(distance: float | None, update: Update, budget: Budget) -> _Claim:
    """The noise that is added for a `distance`, None where there is no theorem."""
    if distance is None:
        if budget.distance is not None:
            raise BadInput(
                f"the budget fixes a distance of {budget.distance:g}, and nothing is proved of this update's: give it "
                "constants (assumed=...), or a budget without distance"
            )
        return _Claim(budget.sigma or 0.0, None, None)
    if math.isinf(distance):
        raise BadInput(f"the bound is {distance}: no noise can be calibrated to it; train in a ball (radius)")
    if budget.distance is not None and distance > budget.distance:
        raise BadInput(
            f"the update's bound {distance:.5g} exceeds the distance {budget.distance:.5g} fixed in the budget; "
            "retrain, or forget fewer at once"
        )
    if budget.sigma is not None:
        epsilon = read_epsilon(budget.sigma / distance, budget.delta) if distance else 0.0
        stated = _afforded(epsilon, budget, update.uniform, f"sigma {budget.sigma:g}")
        return _Claim(budget.sigma, stated, _charged(distance, budget.sigma, stated, budget))
    assert budget.epsilon is not None  # Budget checks it
    reach = budget.distance or distance  # what was promised before the request, or what this update needs
    if budget.calibration == "classical":
        sigma = classical_ratio(budget.epsilon, budget.delta) * reach
        stated = read_epsilon(sigma / reach, budget.delta) if reach else 0.0
    else:
        sigma, stated = noise_ratio(budget.epsilon, budget.delta) * reach, budget.epsilon if reach else 0.0
    return _Claim(sigma, stated, reach / sigma if sigma else 0.0)


def _check_precision(params: Params) -> None:
    """Normals of 16 bits are few, and end where delta does not."""
    if any(jnp.finfo(leaf.dtype).bits < 32 for leaf in jax.tree.leaves(params)):
        raise BadInput("noise of 16 bits is no Gaussian: nothing is proved of it; train in float32 or float64")


def _afforded(epsilon: float, budget: Budget, uniform: bool, what: str) -> float:
    """What is stated of noise that gives this `epsilon`: itself, or the budget's where the request decides it and the
    budget has one."""
    if budget.epsilon is not None and epsilon > budget.epsilon * (1 + 1e-9):
        raise BadInput(
            f"{what} gives epsilon {epsilon:.4g} at delta {budget.delta:g}, more than the budget's {budget.epsilon:g}: "
            "raise the noise, or the budget"
        )
    return epsilon if uniform or budget.epsilon is None else budget.epsilon


def _charged(distance: float, noise: float, stated: float, budget: Budget) -> float:
    """What an account is charged for noise that was fixed before: no less than what is `stated`."""
    if not distance or budget.epsilon != stated:
        return distance / noise
    return max(distance / noise, 1 / noise_ratio(stated, budget.delta))


def _verdict(update: Update, bound: float | None, ceiling: float, claim: _Claim, budget: Budget) -> str:
    """By the house's one vocabulary; the noise of an update must not depend on whose request it is."""
    if bound is not None and not update.noise:
        limit = min(ceiling, math.inf if update.nothing is None else update.nothing)
        enough = math.inf  # noise that hides any two models of the ball
        if claim.epsilon and math.isfinite(ceiling):
            enough = noise_ratio(claim.epsilon, budget.delta) * ceiling
        if bound >= limit or claim.sigma >= enough * (1 - 1e-9):
            return "VACUOUS"
    fixed = budget.distance is not None or budget.sigma is not None or update.noise or update.uniform
    proved = all(a.status == "proved" for a in update.assumptions) and not update.unchecked
    proved = proved and bool(update.assumptions or update.exact)  # a bare bound is somebody's word
    return "PROVED" if proved and fixed else "CONDITIONAL"
