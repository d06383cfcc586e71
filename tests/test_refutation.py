"""Certificates whose noise is ten times too small are refuted, and those that are right are not."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.certificates.gaussian import read_epsilon
from certunl.certificates.guarantee import REPLAY, minimiser
from tests.cases import KEY, claimed, ridge, trained, vector

BUDGET = cu.Budget(epsilon=1.0, delta=1e-5)
IDS = np.array([3, 8])
SEEDS = range(20)


@pytest.fixture(scope="module")
def run():
    return trained(ridge(d=20), radius=50.0)


@pytest.fixture(scope="module")
def truth(run):
    return cu.Retrain().forget(run, None, IDS, KEY)


def nothing(run, truth, of_bound=1.0, **facts):
    """Doing nothing, with a share `of_bound` of its true distance as its bound."""
    bound = of_bound * np.linalg.norm(vector(run.params) - vector(truth.params))
    return claimed(run.params, method="planted", **{"reference": REPLAY, "bound": bound} | facts)


def release(update, seed, budget=BUDGET):
    return cu.certify(update, budget, jax.random.key(seed))


def test_one_release_refutes_noise_ten_times_too_small_and_not_the_right_one(run, truth):
    audit = partial(cu.audit_release, run, IDS, reference=truth)
    bad = [audit(release(nothing(run, truth, 0.1), seed)) for seed in SEEDS]
    honest = [audit(release(nothing(run, truth), seed)) for seed in SEEDS]
    assert all(a.refuted and 3 < a.lower < read_epsilon(0.3730632, 1e-5) for a in bad)
    assert not any(a.refuted for a in honest) and min(a.lower for a in honest) > 0.3
    assert {(a.epsilon, a.delta, a.confidence) for a in bad + honest} == {(1.0, 1e-5, 0.99)}


def test_the_reference_is_made_where_none_is_given(run, truth):
    made = release(nothing(run, truth, 0.1), 0)
    assert cu.audit_release(run, IDS, made) == cu.audit_release(run, IDS, made, reference=truth)
    with pytest.raises(cu.BadInput, match="must be an Update of Retrain, got one of finetune"):
        cu.audit_release(run, IDS, made, reference=cu.FineTune().forget(run, None, IDS, KEY))
    other = trained(ridge(d=3))
    with pytest.raises(cu.BadInput, match="other shapes or dtypes"):
        cu.audit_release(other, IDS, made, reference=cu.Retrain().forget(other, None, IDS, KEY))


def test_the_noise_is_what_was_added_on_the_ball(run, truth):
    """What lies outside is projected first: were that counted as noise, nothing would be found."""
    far = replace(nothing(run, truth, 0.1), params=jax.tree.map(lambda w: 1e4 * w, run.params), radius=50.0)
    found = cu.audit_release(run, IDS, release(far, 0), reference=truth)
    distance = np.linalg.norm(vector(far.projected()) - vector(truth.params))
    assert found.refuted and f"{distance:.4g} from retraining" in found.how


def test_whoever_was_forgotten_before_is_out_of_the_reference_too(run):
    first = cu.Retrain().forget(run, None, np.array([4]), KEY)
    later = run.minus(np.array([4]), first.params)
    exact = cu.Retrain().forget(later, None, IDS, KEY)
    claim = cu.Budget(delta=1e-5, sigma=1e-3)
    told = cu.audit_release(later, IDS, release(claimed(exact.params, reference=REPLAY, bound=1e-4), 0, claim))
    assert told.lower == 0
    assert cu.audit_release(run, IDS, release(claimed(exact.params, reference=REPLAY, bound=1e-4), 0, claim)).refuted


def test_rounding_in_float32_refutes_nothing():
    problem = ridge(d=20)
    problem = replace(problem, data=jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), problem.data))
    start = {"w": jnp.ones(20, jnp.float32)}
    schedule = trained(problem).schedule
    schedule = jax.tree.map(lambda a: a.astype("float32") if a.dtype == "float64" else a, schedule)
    run = cu.fit(problem, cu.Recipe(), start, schedule)
    exact = cu.Retrain().forget(run, None, IDS, KEY)
    assert exact.params["w"].dtype == jnp.float32
    rounded = replace(exact, params=jax.tree.map(lambda w: w * (1 + 1.2e-7), exact.params))  # another machine's replay
    assert (vector(rounded.params) != vector(exact.params)).any()
    for claim in (release(rounded, 0), release(rounded, 0, cu.Budget(delta=1e-5, sigma=1e-12))):
        assert cu.audit_release(run, IDS, claim, reference=exact).lower == 0
    assert cu.audit_release(run, IDS, release(nothing(run, exact, 0.1), 0), reference=exact).refuted
    lost = release(nothing(run, exact, 1e-9), 0, cu.Budget(delta=1e-5, sigma=1e-12))  # less than the last place holds
    assert 1e6 < cu.audit_release(run, IDS, lost, reference=exact).lower < 1e16


def test_nothing_is_said_where_nothing_is_claimed_or_something_else_is(run, truth):
    own = {"noise": 1.0, "sense": "unlearner"}
    for facts in ({"bound": None}, {"reference": minimiser(None), "sense": "minimiser"}, own):
        wide = cu.Budget(epsilon=1e3, delta=1e-5)
        assert cu.audit_release(run, IDS, release(nothing(run, truth, **facts), 0, wide)) is None
    chance = release(nothing(run, truth, failure_probability=1e-3), 0)
    assert cu.audit_release(run, IDS, chance) is None


def test_honest_methods_are_not_refuted(run, truth):
    for method in (cu.Retrain(), cu.HessianFree(assumed="linear")):
        problem = cu.regression(cu.models.Linear(1, dtype=jnp.float64), run.problem.data)
        other = trained(problem, learning_rate=0.02)
        made = method.forget(other, None, IDS, KEY)
        claims = [release(made, seed, cu.Budget(delta=1e-5, sigma=0.1)) for seed in SEEDS]
        assert not any(cu.audit_release(other, IDS, claim, confidence=0.999).refuted for claim in claims)


def test_noise_ten_times_too_small_is_found_behind_a_loose_bound_and_so_is_a_bound_that_does_not_hold(run, truth):
    """At a tenth of the noise epsilon is still kept where the bound is twenty times the distance."""
    away = np.linalg.norm(vector(run.params) - vector(truth.params))
    for seed in SEEDS:
        loose = release(nothing(run, truth, bound=20 * away), seed)
        quiet = jax.tree.map(lambda p, o: o + 0.1 * (p - o), loose.params, loose.update.params)
        found = cu.audit_release(run, IDS, replace(loose, params=quiet), confidence=0.999)
        assert found.refuted and found.lower < 1 and "the noise has sigma" in found.broken
        assert not cu.audit_release(run, IDS, loose, confidence=0.999).refuted
    short = release(nothing(run, truth, bound=0.5 * away), 0)
    assert "retraining is" in cu.audit_release(run, IDS, short).broken


def test_a_certificate_that_may_fail_by_chance_is_not_held_to_a_gaussian_trade_off():
    """Distance 1 but for a chance of 5%, when it is 60: the claim, at delta 5% larger, is true."""
    certificate = cu.certify(
        claimed({"w": jnp.zeros(1)}, bound=1.0, failure_probability=0.05),
        cu.Budget(epsilon=1.0, delta=1e-5),
        KEY,
    ).certificate
    rng = np.random.default_rng(0)

    def make(key):
        return {"w": np.array([np.where(rng.random() < 0.05, 60.0, 1.0) + certificate.sigma * rng.normal()])}

    def reference(key):
        return {"w": np.array([certificate.sigma * rng.normal()])}

    for key in jax.random.split(KEY, 5):
        assert not cu.audit_runs(make, reference, certificate, runs=2000, key=key).refuted


def sampled(update, truth):
    """(released parameters, those of retraining with the same noise), as functions of a key, and the certificate."""
    certificate = release(update, 0).certificate

    def around(center, key):
        return {"w": center + certificate.sigma * np.asarray(jax.random.normal(key, center.shape))}

    return partial(around, vector(update.params)), partial(around, vector(truth.params)), certificate


def test_many_runs_refute_noise_ten_times_too_small_and_not_the_right_one(run, truth):
    few = jax.random.split(KEY, len(SEEDS))
    bad = [cu.audit_runs(*sampled(nothing(run, truth, 0.1), truth), runs=200, key=key) for key in few]
    honest = [cu.audit_runs(*sampled(nothing(run, truth), truth), runs=200, key=key) for key in few]
    assert all(a.refuted and a.lower < read_epsilon(0.3730632, 1e-5) for a in bad)
    assert not any(a.refuted for a in honest)


def test_more_runs_come_nearer_to_the_truth_and_a_statistic_may_be_given(run, truth):
    """Noise ten times too small is epsilon 15.7."""
    make, reference, certificate = sampled(nothing(run, truth, 0.1), truth)
    across = vector(run.params) - vector(truth.params)
    settings = {"runs": 1000, "key": KEY}
    blind = cu.audit_runs(make, reference, certificate, **settings)
    told = cu.audit_runs(make, reference, certificate, statistic=lambda p: float(p["w"] @ across), **settings)
    useless = cu.audit_runs(make, reference, certificate, statistic=lambda p: 1.0, **settings)
    assert 8 < blind.lower < 15.7 and 8 < told.lower < 15.7 and useless.lower == 0


def test_a_trade_off_that_is_no_gaussian_one_is_not_taken_for_one(run, truth):
    make, reference, certificate = sampled(nothing(run, truth, 0.1), truth)
    gaussian = cu.audit_runs(make, reference, certificate, runs=400, key=KEY)
    pairs = replace(certificate.guarantee, says=cu.Pairs(((1.0, 1e-5),), certificate.sigma))
    for other in (replace(certificate, guarantee=pairs), replace(certificate, sigma=0.0)):
        assert 1 < cu.audit_runs(make, reference, other, runs=400, key=KEY).lower < gaussian.lower
    silent = cu.audit_runs(make, reference, replace(certificate, epsilon=None), runs=400, key=KEY)
    assert silent.lower > 1 and silent.epsilon == float("inf") and not silent.refuted
    with pytest.raises(cu.BadInput, match="at least 50"):
        cu.audit_runs(make, reference, certificate, runs=20, key=KEY)
