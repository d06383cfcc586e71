"""The calibrated noise of a release, and its certificate. All arithmetic is float64 on the host."""

import math
from dataclasses import replace

import jax
import numpy as np
import optax

from certunl.base import Key, width
from certunl.certificates.account import Account
from certunl.certificates.budget import Budget
from certunl.certificates.certificate import Certificate, Release
from certunl.certificates.noise import noised
from certunl.certificates.secret import Secret, digest_of, secret_key, spent, unchecked
from certunl.certificates.update import Update
from certunl.errors import BadInput

__all__ = ["certify"]


def certify(
    update: Update,
    budget: Budget,
    key: Secret | Key | None = None,
    *,
    trivial: bool = False,
    account: Account | None = None,
) -> Release:
    """The release of an update: its parameters with calibrated noise, and the certificate of them.

    sigma = noise_ratio(epsilon, delta) · distance. The distance is `budget.distance`, or by default the smaller of the
    update's bound and the trivial bound 2·radius. A certificate may be published only if it does not depend on the
    request. So if the bound of one request determines the epsilon, the certificate states the budget's epsilon instead,
    provided that the budget has one.

    Args:
        update: the un-noised result of any method.
        budget: the (epsilon, delta) of the release, or its noise scale.
        key: the secret that the noise is expanded from, `secret_key()`. It is spent if noise is added. Default: a new
            one. A JAX key is for tests. Its seed takes the noise off again, so the release is CONDITIONAL at best.
        trivial: for an update without a theorem, use the trivial bound 2·radius (output perturbation). If it is False,
            such an update gets noise only if the budget gives sigma. An update with noise of its own never gets more.
        account: the spending of earlier releases of the same run (default: none). The account of the certificate
            counts this release too.

    Raises: BadInput if the bound exceeds the distance fixed in the budget, the noise is too small for the budget's
    epsilon, the account's total would be exceeded, the secret was used before, or there is no ball for the trivial
    bound.
    """
    _check(update, budget)
    guarantee = update.guarantee
    ceiling = math.inf if update.radius is None else 2.0 * update.radius
    if trivial and guarantee.says is None:
        if math.isinf(ceiling):
            raise BadInput("the trivial bound 2·radius needs a model trained in a ball; set Recipe(radius=...)")
        guarantee = guarantee.trivial(ceiling)
    claim = guarantee.claim(budget, ceiling)
    account, center = account or Account(), update.projected()
    noisy = bool(claim.sigma) and not guarantee.own_noise
    key = secret_key() if key is None else key
    digest = digest_of(key)
    if noisy:
        guarantee = replace(guarantee, unchecked=(*guarantee.unchecked, *unchecked(key)))
        account = account.used(digest)
    elif guarantee.secret:
        account = account.used(guarantee.secret)
    account = account.charge(
        claim.charge,
        exact=guarantee.restores,
        from_training=guarantee.from_training,
    )
    with np.errstate(over="ignore"):  # refused below
        params = noised(center, claim.sigma, spent(key)) if noisy else center
    if not all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(params)):
        raise BadInput(
            f"noise of standard deviation {claim.sigma:.4g} overflows the type of the parameters, so nothing is "
            "released; give a larger epsilon, or train in a wider type"
        )
    certificate = Certificate(
        verdict=guarantee.verdict(claim, budget, ceiling),
        method=update.method,
        guarantee=guarantee,
        budget=budget,
        ceiling=ceiling,
        sigma=claim.sigma,
        epsilon=claim.epsilon,
        account=account,
        parameter_norm=float(optax.tree.norm(params)),
        dimension=width(params),
    )
    return Release(params=params, update=update, certificate=certificate)


def _check(update: Update, budget: Budget) -> None:
    """Raises BadInput for parameters that are not finite real numbers, and if delta and the failures reach 1."""
    if not (isinstance(update, Update) and isinstance(budget, Budget)):
        kinds = f"{type(update).__name__} and {type(budget).__name__}"
        raise BadInput(f"certify takes the Update that a method's forget returns and a Budget(...), got {kinds}")
    for leaf in jax.tree.leaves(update.params):
        if not jax.numpy.issubdtype(dtype := jax.numpy.result_type(leaf), jax.numpy.floating):
            raise BadInput(f"parameters must be real numbers to be released, got {dtype}")
    if not all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(update.params)):
        raise BadInput("the parameters of an update must be finite to be released, got NaN or infinity")
    failure = update.guarantee.failure_probability
    if not budget.delta + failure < 1:
        raise BadInput(
            f"delta and the solver's failure probability must add up to less than 1, got {budget.delta:g} and "
            f"{failure:g}, which leave no guarantee; lower failure_probability"
        )
