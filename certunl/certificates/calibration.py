"""The noise that makes a certificate true. All arithmetic is float64 on the host."""

import math
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax

from certunl.base import Key, Params, width
from certunl.certificates.budget import Account, Budget
from certunl.certificates.certificate import Certificate, Release
from certunl.certificates.statement import Claim
from certunl.certificates.update import Update
from certunl.errors import BadInput

__all__ = ["certify", "secret_key"]


def secret_key() -> Key:
    """A key from the operating system's entropy: for release noise, never saved and never derived from a seed."""
    return jax.random.wrap_key_data(jnp.asarray(np.frombuffer(os.urandom(8), np.uint32)), impl="threefry2x32")


def certify(
    update: Update, budget: Budget, key: Key, *, trivial: bool = False, account: Account | None = None
) -> Release:
    """Adds calibrated noise to an update and states what that proves: check, claim, charge, draw, sign.

    sigma = noise_ratio(epsilon, delta) · distance, the distance being `budget.distance`, or else the smaller of the
    update's bound and the trivial 2·radius. A certificate may be published only if it does not depend on the request:
    where the bound of one request decides the epsilon, the budget's is stated.

    Args:
        update: what forgetting gave, from any method.
        budget: what the release may reveal.
        key: draws the noise: a secret of the operating system's entropy, `secret_key()`.
        trivial: use 2·radius where there is no theorem (output perturbation). Without it such an update gets noise
            only if the budget gives sigma. An update that carries noise already never gets more.
        account: what earlier releases of the same line have spent (default: nothing). The certificate's counts this
            release as well.

    Raises: BadInput when the bound exceeds the distance fixed in the budget, the noise is too small for its epsilon,
    the account's total would be exceeded, or there is no ball to be trivial in.
    """
    guarantee = update.guarantee
    _check(update, budget)
    ceiling = math.inf if update.radius is None else 2.0 * update.radius
    if trivial and guarantee.says is None:
        if math.isinf(ceiling):
            raise BadInput("the trivial bound 2·radius needs a model trained in a ball: set Recipe(radius=...)")
        guarantee = guarantee.trivial(ceiling)
    claim = guarantee.claim(budget, ceiling)
    spent = (account or Account()).charge(
        claim.charge,
        exact=guarantee.exact and not guarantee.unchecked,
        from_training=guarantee.from_training,
    )
    params = _noised(update, claim, key)
    certificate = Certificate(
        verdict=guarantee.verdict(claim, budget, ceiling),
        method=update.method,
        guarantee=guarantee,
        budget=budget,
        ceiling=ceiling,
        sigma=claim.sigma,
        epsilon=claim.epsilon,
        account=spent,
        parameter_norm=float(optax.tree.norm(params)),
        dimension=width(params),
    )
    return Release(params=params, update=update, certificate=certificate)


def _check(update: Update, budget: Budget) -> None:
    if not all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(update.params)):
        raise BadInput("the update holds NaN or infinity; there is nothing to release")
    failure = update.guarantee.failure_probability
    if not budget.delta + failure < 1:
        raise BadInput(
            f"delta {budget.delta:g} and the solver's failure probability {failure:g} leave no guarantee; lower "
            "failure_probability"
        )


def _noised(update: Update, claim: Claim, key: Key) -> Params:
    """The parameters on their ball, with the claimed noise where the update carries none."""
    if claim.sigma and claim.epsilon is not None and any(_bits(leaf) < 32 for leaf in jax.tree.leaves(update.params)):
        # normals of 16 bits are few, and end where delta does not
        raise BadInput("noise of 16 bits is no Gaussian: nothing is proved of it; train in float32 or float64")
    center = update.projected()
    if not claim.sigma or update.guarantee.own_noise:
        return center
    noise = optax.tree.random_like(key, center, sampler=jax.random.normal)
    return jax.tree.map(lambda p, z: p + claim.sigma * z, center, noise)


def _bits(leaf: jax.Array) -> int:
    return jnp.finfo(leaf.dtype).bits
