"""An audit never refutes what is true at its confidence, and catches what is not: certify, then audit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.audit import epsilon_lower_bound
from certunl.gaussian import read_epsilon

BUDGET = cu.Budget(epsilon=1.0, delta=1e-5, distance=1.0)
SEEDS = range(10)


def releases(seed, true_distance=1.0, of_sigma=1.0):
    """(300,000 releases of a one-parameter model at `true_distance` from its reference, as many of the reference), with
    a share `of_sigma` of the noise that `certify` adds."""
    update = cu.Update(params=jnp.zeros(300_000), method="m", reference="r", bound=1.0)
    noises = [cu.certify(update, BUDGET, key).params for key in jax.random.split(jax.random.key(seed))]
    return of_sigma * np.asarray(noises[0]) + true_distance, of_sigma * np.asarray(noises[1])


@pytest.mark.parametrize("gaussian", [False, True])
def test_what_certify_made_is_never_refuted_and_half_the_noise_always_is(gaussian):
    honest = [epsilon_lower_bound(*releases(seed), 1e-5, gaussian=gaussian) for seed in SEEDS]
    assert max(honest) <= 1.0 and min(honest) > (0.8 if gaussian else 0.3)  # nor is it an empty statement
    caught = [epsilon_lower_bound(*releases(seed, of_sigma=0.5), 1e-5, gaussian=gaussian) for seed in SEEDS]
    assert min(caught) > 1.0 and max(caught) <= read_epsilon(3.7306316 / 2, 1e-5)


def test_either_direction_and_either_tail_are_tried():
    released, reference = releases(0, of_sigma=0.5)
    forward = epsilon_lower_bound(released, reference, 1e-5)
    assert epsilon_lower_bound(reference, released, 1e-5) > 1 and epsilon_lower_bound(-released, -reference, 1e-5) > 1
    narrow = np.random.default_rng(0).normal(size=50_000)
    assert epsilon_lower_bound(narrow, 3 * narrow, 1e-5) > 0.5 < epsilon_lower_bound(3 * narrow, narrow, 1e-5)
    assert forward > 1


def test_the_bound_fails_no_more_often_than_its_confidence_says():
    """Randomised response of epsilon = ln 3: a bound of 60% confidence exceeds it sometimes, rarely enough."""
    rng, above = np.random.default_rng(0), 0
    for _ in range(200):
        released, reference = rng.random(400) < 0.75, rng.random(400) < 0.25
        above += epsilon_lower_bound(released, reference, 1e-9, confidence=0.6) > np.log(3)
    assert 2 <= above <= 80


def test_equal_mechanisms_and_few_samples_refute_nothing():
    rng = np.random.default_rng(0)
    assert epsilon_lower_bound(rng.normal(size=20_000), rng.normal(size=20_000), 1e-5) < 0.2
    assert epsilon_lower_bound(np.ones(6), np.zeros(6), 1e-5) < np.log(6)
    for bad in ([1.0, 2.0, 3.0], [1.0, 2.0, np.nan, 3.0]):
        with pytest.raises(cu.BadInput, match="at least four finite samples"):
            epsilon_lower_bound(bad, np.zeros(10), 1e-5)
    with pytest.raises(cu.BadInput, match="strictly between 0 and 1"):
        epsilon_lower_bound(np.zeros(10), np.zeros(10), 0.0)
