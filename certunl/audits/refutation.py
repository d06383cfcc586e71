"""Certificates put to the test: by the noise of one release, or by many runs of two mechanisms."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.audits.audit import Audit, epsilon_lower_bound, gaussian_release_lower_bound, noise_upper_bound
from certunl.base import Key, Params, vector
from certunl.certificates.certificate import Certificate, Release
from certunl.certificates.guarantee import REPLAY
from certunl.certificates.update import Update
from certunl.errors import BadInput
from certunl.training.run import Run, retrained

__all__ = ["audit_release", "audit_runs"]


def audit_release(
    run: Run, request: Any, release: Release, *, reference: Update | None = None, confidence: float = 0.99
) -> Audit | None:
    """What one release and true retraining refute of its certificate; `run` is the run before `request`.

    The un-noised model and retraining's, both on the ball where there is one, are a known distance apart; the noise is
    what the release differs by from the un-noised model. That noise is Gaussian is taken from `certify`. Put to the
    test are the epsilon of this pair (`gaussian_release_lower_bound`), the size of the noise (`noise_upper_bound`, in
    the same event), which a loose bound would hide, and the bound on the distance. Floating point is counted against
    the audit: one more unit in the last place of noise everywhere, and as much less distance for every step of
    training, since two replays of one training may round differently (where training is chaotic by more: replay on the
    machine that trained).

    `reference` is an Update of `Retrain` for the same run and request (None: made here). None is returned where this
    says nothing: the certificate claims no epsilon, compares with something else than retraining replayed, its noise is
    of the method's own steps, or its method may fail by chance.
    Raises: BadInput for a `reference` that does not retrain, or parameters of another model.
    """
    if not isinstance(release, Release):
        raise BadInput(f"an audit looks at a Release, as certify gives it, got {type(release).__name__}")
    certificate, update = release.certificate, release.update
    guarantee = certificate.guarantee
    replayed = guarantee.reference == REPLAY and guarantee.sense == "retraining"
    if certificate.epsilon is None or not replayed or guarantee.own_noise or guarantee.failure_probability:
        return None
    if reference is not None and not reference.guarantee.exact:
        raise BadInput(f"the reference must be an Update of Retrain, got one of {reference.method}")
    centre, truth = update.projected(), retrained(run, request) if reference is None else reference.projected()
    if not _shapes(centre) == _shapes(truth) == _shapes(release.params) == _shapes(run.params):
        raise BadInput("the release, its reference and the run have other parameters: they come from other models")
    unit = np.concatenate([np.full(leaf.size, jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(centre)])
    released, centre, truth = (vector(tree) for tree in (release.params, centre, truth))
    distance = np.linalg.norm(centre - truth) - len(run.schedule) * np.linalg.norm(unit * truth)
    noise = np.abs(released - centre) + unit * np.abs(released)
    delta, sigma, bound = certificate.delta, certificate.sigma, certificate.bound
    broken, most = [], noise_upper_bound(noise, confidence=confidence)
    if most < sigma:
        broken.append(f"the noise has sigma {most:.4g} at most, where {sigma:.4g} is said")
    if bound is not None and distance > bound:
        broken.append(f"retraining is {distance:.4g} away, where {bound:.4g} is the bound")
    lower = gaussian_release_lower_bound(noise, max(0.0, float(distance)), delta, confidence=confidence)
    how = f"the noise of one release in {noise.size} numbers, {max(0.0, distance):.4g} from retraining"
    claim = certificate.epsilon
    return Audit(lower=lower, epsilon=claim, delta=delta, confidence=confidence, how=how, broken="; ".join(broken))


def audit_runs(
    make: Callable[[Key], Params],
    reference: Callable[[Key], Params],
    certificate: Certificate,
    *,
    runs: int = 1000,
    key: Key,
    confidence: float = 0.99,
    statistic: Callable[[Params], float] | None = None,
) -> Audit:
    """What `runs` released parameters `make(key)` and as many of the mechanism they are compared with, given by
    `reference(key)`, refute of `certificate`; nothing else is known of either.

    `statistic` of the parameters is what is looked at: by default the projection on the direction between the two
    means of a first tenth of the samples, which are not used again. `epsilon_lower_bound` is taken both ways, each
    with half the error, and the larger is told: for any mechanism, and, where the certificate rests on a Gaussian
    trade-off, for that, which refutes the trade-off from which its epsilon is read.
    Raises: BadInput for fewer than 50 runs.
    """
    if runs < 50:
        raise BadInput(f"an audit by runs needs at least 50 of each mechanism, got {runs}")
    keys = jax.random.split(key, (2, runs))
    pair = [[mechanism(k) for k in row] for mechanism, row in zip((make, reference), keys, strict=True)]
    if statistic is None:
        pair, first = [np.stack([vector(params) for params in models]) for models in pair], runs // 10
        direction = pair[0][:first].mean(axis=0) - pair[1][:first].mean(axis=0)
        seen = [models[first:] @ (direction / (np.linalg.norm(direction) or 1.0)) for models in pair]
    else:
        seen = [np.array([statistic(params) for params in models]) for models in pair]
    delta = certificate.total_delta
    guarantee = certificate.guarantee
    exact = certificate.sigma and guarantee.gaussian and not guarantee.failure_probability
    ways = (False, True) if exact else (False,)
    each = 1 - (1 - confidence) / len(ways)
    lower = max(epsilon_lower_bound(seen[0], seen[1], delta, confidence=each, gaussian=way) for way in ways)
    claim = math.inf if certificate.epsilon is None else certificate.epsilon
    how = f"{runs} releases against {runs} runs of their reference"
    return Audit(lower=lower, epsilon=claim, delta=delta, confidence=confidence, how=how)


def _shapes(tree: Params) -> Any:
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
