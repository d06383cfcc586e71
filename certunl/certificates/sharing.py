"""The budget of a release that shares it with a training before it, such as that of its features' extractor."""

import math
from dataclasses import replace

from certunl.certificates.budget import Budget, Charge, Common
from certunl.certificates.gaussian import classical_ratio, noise_ratio, read_epsilon
from certunl.certificates.statement import Claim, Distance, OwnNoise, Pairs
from certunl.errors import BadInput

__all__ = ["SHARE", "shared_claim"]

SHARE = 0.96
"""The part of the budget's ratio that a training before the release may take. The release has 0.28 of it left."""


def shared_claim(
    says: Distance | OwnNoise | Pairs, common: Common, budget: Budget, every_request: bool, ceiling: float
) -> Claim:
    """The claim of a statement after the training whose noise is `common`, for one budget of both.

    Let R be the ratio of the budget's epsilon and delta. The training may take SHARE · R, and the release takes
    √(1 − SHARE²) R. Both together have the ratio R at most, by Gaussian composition. Neither part depends on the
    request. So noise, epsilon and charge tell nothing of it.

    Args:
        common: the noise of the training, with its ratio for everyone who is forgotten.

    Returns: the claim. Its charge has the ratio of the release, and `common` with the ratio that the training may take.

    Raises: BadInput if a part is exceeded, for a budget without epsilon, and for pairs.
    """
    if budget.epsilon is None:
        raise BadInput(
            "on features of a network with noise a budget needs an epsilon: read off the noise, it would tell of the "
            "request; give epsilon, beside sigma or without it"
        )
    classical = budget.calibration == "classical"
    whole = 1 / (classical_ratio if classical else noise_ratio)(budget.epsilon, budget.delta)
    first, second = SHARE * whole, math.sqrt(1 - SHARE**2) * whole
    if common.ratio > first * (1 + 1e-9):
        least = read_epsilon(SHARE / common.ratio, budget.delta)
        raise BadInput(
            f"the training of the features' extractor asks for epsilon {least:.4g} at delta {budget.delta:g}, more "
            f"than the budget's {budget.epsilon:g}; raise it, forget fewer, or train the extractor with more noise"
        )
    epsilon, own = read_epsilon(1 / whole, budget.delta) if classical else budget.epsilon, 0.0
    sigma = says.claim(budget, every_request, ceiling).sigma  # refuses what the statement alone does not allow
    if isinstance(says, Distance) and budget.sigma:
        own = min(says.bound, ceiling) / sigma
    elif isinstance(says, Distance):
        sigma *= whole / second
        if not sigma:  # exact retraining, whoever asks
            second, epsilon = 0.0, read_epsilon(1 / first, budget.delta)
    elif isinstance(says, OwnNoise) and says.apart is not None:
        own = says.apart / sigma
    else:
        raise BadInput("only statements of Gaussian noise are composed with the training of an extractor")
    if own > second * (1 + 1e-9):
        least = read_epsilon(math.sqrt(1 - SHARE**2) / own, budget.delta)
        raise BadInput(
            f"the noise of the release asks for epsilon {least:.4g} at delta {budget.delta:g} on features of a network "
            f"with noise, more than the budget's {budget.epsilon:g}; raise sigma or the budget"
        )
    return Claim(sigma, epsilon, Charge(ratios=(second,), common=(replace(common, ratio=first),)))
