"""The low bits of a release do not tell its centre, not even to one who knows both centres and the sampler."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.audits import low_bits
from certunl.certificates import noise
from certunl.certificates.guarantee import REPLAY
from tests.cases import KEY, claimed, classes, network, trained

BUDGET = cu.Budget(epsilon=1.0, delta=1e-5, distance=0.1)
RUNS, SIZE = 400, 42
DTYPES = (np.float32, np.float64)
SURE = 1 - 1e-7  # the noise of `certify` is secret, so that these tests draw anew each time: 1% of 0.99 would fail


def centres(dtype):
    rng = np.random.default_rng(0)
    one = rng.normal(size=SIZE)
    other = one + 2e-4 * rng.normal(size=SIZE) / np.sqrt(SIZE)
    return {"w": jnp.asarray(one.astype(dtype))}, {"w": jnp.asarray(other.astype(dtype))}


def certified(centre):
    return cu.certify(claimed(centre, bound=1e-3), BUDGET)


def honest(centre):
    """The mechanism of `certify`."""
    return lambda key: certified(centre).params


def floating(centre):
    """The noise of versions up to 0.1: floating-point normals, added in floating point."""
    w, sigma = centre["w"], certified(centre).certificate.sigma
    return lambda key: {"w": w + w.dtype.type(sigma) * jax.random.normal(key, (SIZE,), w.dtype)}


def off_the_grid(centre):
    """Noise of a grid, added to a centre off it."""
    sigma = certified(centre).certificate.sigma
    spacing, w = noise.grid(sigma), np.asarray(centre["w"], float)
    return lambda key: {"w": w + spacing * noise.integers(cu.secret_key().spend(), np.zeros(SIZE), sigma / spacing)}


def audit(make, reference, dtype, seed=0, **settings):
    one, other = centres(dtype)
    certificate = certified(one).certificate
    return cu.audit_runs(
        make(one), reference(other), certificate, runs=RUNS, key=jax.random.key(seed), centres=(one, other), **settings
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(3))
def test_a_release_is_not_refuted_by_its_low_bits(dtype, seed):
    found = audit(honest, honest, dtype, seed, confidence=SURE)  # secret noise: another at each run
    assert not found.refuted, str(found)


@pytest.mark.parametrize("dtype", DTYPES)
def test_floating_point_noise_is_refuted_by_its_low_bits(dtype):
    found = audit(floating, floating, dtype)
    assert found.refuted and found.lower > 10, str(found)


def test_floating_point_noise_is_not_refuted_against_itself():
    _, other = centres(np.float32)
    found = audit(lambda one: floating(other), floating, np.float32)
    assert not found.refuted, str(found)


def test_a_centre_off_the_grid_is_found_without_knowing_it():
    one, other = centres(np.float64)
    certificate = certified(one).certificate
    found = cu.audit_runs(
        off_the_grid(one), off_the_grid(other), certificate, runs=RUNS, key=jax.random.key(0), statistic=lambda p: 0.0
    )
    assert found.refuted and found.lower > 10, str(found)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sigma", [0.01, 0.37, 5.0])
def test_the_right_centre_reaches_every_number_of_floating_point_noise_and_another_does_not(dtype, sigma):
    one, other = centres(dtype)
    w = one["w"]
    released = {"w": w + w.dtype.type(sigma) * jax.random.normal(jax.random.key(1), w.shape, w.dtype)}
    assert (low_bits.reachable(released, one, sigma) > 0).all()
    if sigma > 0.1:
        assert (low_bits.reachable(released, other, sigma) > 0).mean() < 0.7


@pytest.mark.parametrize("dtype", (*DTYPES, jnp.bfloat16, np.float16))
def test_one_release_tells_whether_its_noise_is_that_of_certify(dtype):
    one, _ = centres(dtype)
    release = certified(one)
    assert low_bits.off_grid(release.params, release.certificate.sigma) == 0
    if np.dtype(dtype).itemsize >= 4:
        noisy = floating(one)(jax.random.key(0))
        assert low_bits.off_grid(noisy, release.certificate.sigma) > SIZE / 2


def test_audit_release_refutes_floating_point_noise_of_the_right_size():
    run = trained(network(), radius=3.0)
    truth = cu.Retrain().forget(run, None, [1], KEY)
    guarantee = cu.Guarantee(says=cu.Distance(1.0), reference=REPLAY)
    update = cu.Update(params=run.params, method="m", guarantee=guarantee, radius=3.0)
    release = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5))
    assert not cu.audit_release(run, [1], release, reference=truth, confidence=SURE).refuted
    sigma, leaves = release.certificate.sigma, jax.tree.leaves(update.projected())
    noisy = [
        leaf + sigma * jax.random.normal(jax.random.key(i), leaf.shape, leaf.dtype) for i, leaf in enumerate(leaves)
    ]
    old = replace(release, params=jax.tree.unflatten(jax.tree.structure(run.params), noisy))
    audit = cu.audit_release(run, [1], old, reference=truth)
    assert audit.refuted and "off the grid" in str(audit) and "sigma at most" not in str(audit)


def test_low_bits_are_looked_at_in_a_release_whose_reference_is_no_retraining():
    run = trained(cu.classification(cu.models.Linear(classes=3), classes()), weight_decay=0.1)
    release = cu.certify(cu.CertifiedRemoval().forget(run, None, [1], KEY), cu.Budget(epsilon=1.0, delta=1e-5))
    assert cu.audit_release(run, [1], release) is None
    noisy = jax.tree.map(lambda leaf: leaf + 1e-3, release.params)
    audit = cu.audit_release(run, [1], replace(release, params=noisy))
    assert audit.refuted and "off the grid" in str(audit) and audit.lower == 0.0
