"""The noise that makes a certificate true. All arithmetic is float64 on the host."""

import math
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax

from certunl.budget import Account, Budget, read_epsilon
from certunl.certificate import Certificate, Release, Update
from certunl.typing import BadInput, Key

__all__ = ["certify", "noise_ratio", "secret_key"]


def noise_ratio(epsilon: float, delta: float) -> float:
    """sigma/distance at which two Gaussians a distance apart are exactly (epsilon, delta)-indistinguishable.

    Solves delta = Phi(r/2 − epsilon/r) − e^epsilon Phi(−r/2 − epsilon/r) for r = distance/sigma.
    Source: Balle and Wang 2018, theorem 8; computed by dp-accounting.

    >>> round(noise_ratio(1.0, 1e-5), 6)
    3.730632
    """
    import dp_accounting  # takes half a second to import

    try:
        with np.errstate(all="ignore"):
            return float(dp_accounting.get_sigma_gaussian(epsilon, delta))
    except (ValueError, RuntimeError, OverflowError) as error:
        raise BadInput(f"epsilon = {epsilon:g} at delta = {delta:g} is out of floating-point range") from error


def secret_key() -> Key:
    """A key from the operating system's entropy: for release noise, never saved and never derived from a seed."""
    return jax.random.wrap_key_data(jnp.asarray(np.frombuffer(os.urandom(8), np.uint32)), impl="threefry2x32")


def certify(
    update: Update, budget: Budget, key: Key, *, trivial: bool = False, account: Account | None = None
) -> Release:
    """Adds calibrated noise to an update and says what that proves.

    sigma = noise_ratio(epsilon, delta) · distance, the distance being `budget.distance` or the smaller of the update's
    bound and the trivial 2·radius. `trivial` uses 2·radius where there is no theorem (output perturbation); without
    it an update with no theorem gets no noise unless the budget gives sigma. `account` holds what earlier releases of
    the same line have spent (default: nothing); the certificate's holds this one as well.

    Raises: BadInput when the bound exceeds the distance fixed in the budget, the account's total would be exceeded, or
    there is no ball to be trivial in.
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
    bound = update.bound
    if bound is None and trivial:
        if math.isinf(ceiling):
            raise BadInput("the trivial bound 2·radius needs a model trained in a ball: set Recipe(radius=...)")
        bound = ceiling
    distance = None if bound is None else min(float(bound), ceiling)
    sigma, epsilon = _calibrate(distance, budget, update.noise)
    exact = update.exact and not update.unchecked
    ratio = _ratio(distance, budget, sigma, update.noise)
    account = (account or Account()).charge(ratio, update.failure_probability, exact)
    center = update.projected()
    noise = optax.tree.random_like(key, center, sampler=jax.random.normal)
    params = jax.tree.map(lambda p, z: p + sigma * z, center, noise)
    certificate = Certificate(
        verdict=_verdict(update, bound, ceiling, budget),
        method=update.method,
        reference=update.reference,
        budget=budget,
        bound=bound,
        trivial_bound=ceiling,
        sigma=math.hypot(sigma, update.noise),
        epsilon=epsilon,
        delta=budget.delta,
        failure_probability=update.failure_probability,
        assumptions=update.assumptions,
        unchecked=update.unchecked,
        account=account,
        parameter_norm=float(optax.tree.norm(params)),
        dimension=sum(leaf.size for leaf in jax.tree.leaves(center)),
    )
    return Release(params=params, update=update, certificate=certificate)


def _calibrate(distance: float | None, budget: Budget, own_noise: float) -> tuple[float, float | None]:
    """(sigma to add, exact epsilon or None where nothing is proved)."""
    if distance is None:
        return budget.sigma or 0.0, None
    if math.isinf(distance):
        raise BadInput(f"the bound is {distance}: no noise can be calibrated to it; train in a ball (radius)")
    if budget.distance is not None and distance > budget.distance:
        raise BadInput(
            f"the update's bound {distance:.5g} exceeds the distance {budget.distance:.5g} fixed in the budget; "
            "retrain, or forget fewer at once"
        )
    total = own_noise or budget.sigma
    if not total:
        assert budget.epsilon is not None  # Budget checks it
        total = noise_ratio(budget.epsilon, budget.delta) * (budget.distance or distance)
        if budget.distance is not None:  # what was promised before the request, not what this update would give
            return total, budget.epsilon
    return 0.0 if own_noise else total, read_epsilon(total / distance, budget.delta) if distance else 0.0


def _ratio(distance: float | None, budget: Budget, sigma: float, own_noise: float) -> float | None:
    """Proved distance over noise; None where nothing is proved."""
    if not distance:
        return distance
    promised, noise = budget.distance or distance, math.hypot(sigma, own_noise)
    return (distance if own_noise else promised) / noise if noise else math.inf


def _verdict(update: Update, bound: float | None, ceiling: float, budget: Budget) -> str:
    if bound is None:
        return "NOT CERTIFIED"
    if bound >= min(ceiling, math.inf if update.nothing is None else update.nothing):
        return "VACUOUS"
    fixed = budget.distance is not None or budget.sigma is not None or update.noise or update.uniform
    proved = all(a.status == "proved" for a in update.assumptions) and not update.unchecked
    return "PROVED" if proved and fixed else "CONDITIONAL"
