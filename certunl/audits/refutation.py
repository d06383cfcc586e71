"""Tests of certificates, by the noise of one release or by many runs of two mechanisms."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.audits.audit import Audit, epsilon_lower_bound, gaussian_release_lower_bound, noise_upper_bound
from certunl.audits.low_bits import fractions, off_grid, preimages
from certunl.base import Key, Params, vector
from certunl.certificates.certificate import Certificate, Release
from certunl.certificates.guarantee import REPLAY
from certunl.certificates.update import Update
from certunl.errors import BadInput
from certunl.training.run import Run
from certunl.training.training import retrained

__all__ = ["audit_release", "audit_runs"]


def audit_release(
    run: Run, request: Any, release: Release, *, reference: Update | None = None, confidence: float = 0.99
) -> Audit | None:
    """An `Audit` of the certificate of one release, by comparison with true retraining.

    The un-noised model and the retrained model, both projected onto the ball if there is one, have a known distance.
    The noise is the difference of the release and the un-noised model. Its law is taken to be Gaussian, as `certify`
    draws it. The audit tests four statements: the epsilon of this pair (`gaussian_release_lower_bound`); the size of
    the noise (`noise_upper_bound`, in the same event), which a loose bound would hide; the bound on the distance; and
    the low bits of the release (`low_bits.off_grid`), which tell the centre of noise drawn in floating point.

    Floating point counts in favour of the certificate. Each noise is increased by one unit in the last place. The
    distance is reduced by one unit for each training step, because two replays of the same training may round
    differently. If training is chaotic, they may differ by more; replay then on the machine that trained.

    Args:
        run: the run before the request.
        request: ids i32[k] of the forgotten examples.
        release: the release of that request.
        reference: an Update of `Retrain` for the same run and request. Default: the model is retrained here.
        confidence: confidence of the audit.

    The low bits are looked at in every release whose noise `certify` added. The rest needs a certificate that compares
    with replayed retraining, and a method that cannot fail by chance.

    Returns: None if the audit tests nothing, or only low bits, which are right.
    Raises: BadInput for a `reference` that is no retraining, or for parameters of another model.
    """
    if not isinstance(release, Release):
        raise BadInput(f"an audit needs a Release, the result of certify, got {type(release).__name__}")
    certificate, update = release.certificate, release.update
    guarantee = certificate.guarantee
    sigma, broken = 0.0 if guarantee.own_noise else certificate.sigma, []
    if sigma and (off := off_grid(release.params, sigma)):
        broken.append(f"{off} numbers lie off the grid of the certified noise, so their low bits may tell the centre")
    replayed = guarantee.reference == REPLAY and guarantee.sense == "retraining"
    claim, delta = certificate.epsilon, certificate.delta
    if claim is None or not replayed or guarantee.own_noise or guarantee.failure_probability:
        if not broken:
            return None
        how, most = "the low bits of one release", math.inf if claim is None else claim
        return Audit(lower=0.0, epsilon=most, delta=delta, confidence=confidence, how=how, broken=broken[0])
    if reference is not None and not reference.guarantee.replayed:
        raise BadInput(f"the reference must be an Update of Retrain, got one of {reference.method}")
    centre, truth = update.projected(), retrained(run, request) if reference is None else reference.projected()
    if not _shapes(centre) == _shapes(truth) == _shapes(release.params) == _shapes(run.params):
        raise BadInput(
            "the release, its reference and the run have parameters of other shapes or dtypes: give those of one model"
        )
    unit = np.concatenate([np.full(leaf.size, jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(centre)])
    released, centre, truth = (vector(tree) for tree in (release.params, centre, truth))
    distance = np.linalg.norm(centre - truth) - len(run.schedule) * np.linalg.norm(unit * truth)
    noise = np.abs(released - centre) + unit * np.abs(released)
    bound, most = certificate.bound, noise_upper_bound(noise, confidence=confidence)
    if most < sigma:
        broken.append(f"the noise has sigma at most {most:.4g}, but the certificate says {sigma:.4g}")
    if bound is not None and distance > bound:
        broken.append(f"retraining is at distance {distance:.4g}, but the certificate says at most {bound:.4g}")
    lower = gaussian_release_lower_bound(noise, max(0.0, float(distance)), delta, confidence=confidence)
    how = f"the noise of one release in {noise.size} numbers, {max(0.0, distance):.4g} from retraining"
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
    centres: tuple[Params, Params] | None = None,
) -> Audit:
    """An `Audit` of `certificate` by samples of two mechanisms, of which nothing else is known.

    `epsilon_lower_bound` holds for any mechanism. It is computed for several statistics of each sample: `statistic`,
    the low bits (`low_bits.fractions`), and with `centres` their preimages (`low_bits.preimages`). If the certificate
    rests on a Gaussian trade-off, the form `gaussian=True` is computed as well. Each bound has an equal share of the
    error, and the largest counts. A refutation by the second form refutes the trade-off from which the certificate
    reads its epsilon.

    Args:
        make: gives released parameters for a key.
        reference: gives parameters of the mechanism that the certificate compares with, for a key.
        certificate: the certificate under test.
        runs: number of samples of each mechanism, at least 50.
        key: split into one key for each sample.
        confidence: confidence of the audit.
        statistic: the number of each sample that is compared. Default: the projection on the direction between the two
            means of the first tenth of the samples, which are not used again.
        centres: the parameters of the two mechanisms before noise, for mechanisms that add it to fixed parameters.
            Default: unknown.

    Raises: BadInput for fewer than 50 runs.
    """
    if runs < 50:
        raise BadInput(f"an audit by runs needs at least 50 of each mechanism, got {runs}")
    keys = jax.random.split(key, (2, runs))
    pair = [[mechanism(k) for k in row] for mechanism, row in zip((make, reference), keys, strict=True)]
    samples = [_projected(pair, vector) if statistic is None else _measured(pair, statistic)]
    if sigma := certificate.sigma:
        samples.append(_projected(pair, lambda params: fractions(params, sigma)))
        samples += [_measured(pair, preimages(*centres, sigma))] if centres is not None else []
    delta = certificate.total_delta
    guarantee = certificate.guarantee
    exact = certificate.sigma and guarantee.gaussian and not guarantee.failure_probability
    ways = [(two, form) for two in samples for form in ((False, True) if exact else (False,))]
    each = 1 - (1 - confidence) / len(ways)
    lower = max(epsilon_lower_bound(two[0], two[1], delta, confidence=each, gaussian=form) for two, form in ways)
    claim = math.inf if certificate.epsilon is None else certificate.epsilon
    how = f"{runs} releases against {runs} runs of their reference"
    return Audit(lower=lower, epsilon=claim, delta=delta, confidence=confidence, how=how)


_Pair = list[list[Params]]
"""Samples of the release and of its reference."""


def _measured(pair: _Pair, statistic: Callable[[Params], float]) -> list[np.ndarray]:
    return [np.array([statistic(params) for params in models]) for models in pair]


def _projected(pair: _Pair, features: Callable[[Params], np.ndarray]) -> list[np.ndarray]:
    """The features of all but the first tenth, projected on the direction between the means of that tenth."""
    stacked = [np.stack([features(params) for params in models]) for models in pair]
    first = len(stacked[0]) // 10
    direction = stacked[0][:first].mean(axis=0) - stacked[1][:first].mean(axis=0)
    return [models[first:] @ (direction / (np.linalg.norm(direction) or 1.0)) for models in stacked]


def _shapes(tree: Params) -> Any:
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
