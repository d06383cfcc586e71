"""An audit never refutes what is true at its confidence, and catches what is not: certify, then audit."""

from math import comb, inf, log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

import certunl as cu
from certunl.audits.audit import Audit, epsilon_lower_bound, gaussian_release_lower_bound
from certunl.audits.one_run import one_run_lower_bound
from certunl.certificates.gaussian import noise_ratio, read_epsilon
from tests.cases import claimed

BUDGET = cu.Budget(epsilon=1.0, delta=1e-5, distance=1.0)
SEEDS = range(10)


def releases(seed, true_distance=1.0, of_sigma=1.0):
    """(300,000 releases of a one-parameter model at `true_distance` from its reference, as many of the reference), with
    a share `of_sigma` of the noise that `certify` adds."""
    update = claimed(jnp.zeros(300_000), bound=1.0)
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


def tail(v, r):
    return sum(comb(r, k) for k in range(v, r + 1)) / 2**r


def test_one_run_of_a_whole_request_is_the_closed_form():
    for v, r in ((20, 20), (80, 100), (61, 90)):
        assert one_run_lower_bound(v, r, 0.0) == pytest.approx(log(0.01 / tail(v, r)), rel=1e-11)
        assert one_run_lower_bound(v, r, 1e-3, confidence=0.9) == pytest.approx(log(0.099 / tail(v, r)), rel=1e-11)
    assert one_run_lower_bound(1000, 1000, 0.0) == pytest.approx(log(0.01) + 1000 * log(2))
    assert one_run_lower_bound(9000, 9000, 0.0) == pytest.approx(log(0.01) + 9000 * log(2))
    assert one_run_lower_bound(50, 100, 0.0) == one_run_lower_bound(0, 5, 0.0) == 0
    assert one_run_lower_bound(100, 100, 0.011) == one_run_lower_bound(100, 100, 0.5) == 0  # delta alone explains it


def test_one_run_of_single_canaries_is_the_closed_form_and_the_published_p_value():
    for r in (20, 1000):  # (e^eps/(1 + e^eps))^r = 0.01
        q = 0.01 ** (1 / r)
        assert one_run_lower_bound(r, r, 0.0, group=False) == pytest.approx(log(q / (1 - q)), rel=1e-9)
    eps, delta, m, v, r = one_run_lower_bound(80, 100, 1e-5, group=False, canaries=1000), 1e-5, 1000, 80, 100
    q = np.exp(eps) / (1 + np.exp(eps))
    chance = [comb(r, k) * q**k * (1 - q) ** (r - k) for k in range(r + 1)]
    most = max(sum(chance[v - i : v]) / i for i in range(1, v + 1))
    assert sum(chance[v:]) + 2 * m * delta * most == pytest.approx(0.01, rel=1e-6)


@pytest.mark.parametrize("group", [True, False])
def test_one_run_bounds_rise_with_what_was_guessed_right_and_fall_with_delta(group):
    found = [one_run_lower_bound(v, 100, 1e-4, group=group) for v in range(101)]
    assert found[50] == 0 and (np.diff(found) >= 0).all() and (np.diff(found[70:]) > 0).all()
    more = [one_run_lower_bound(9 * r // 10, r, 1e-4, group=group) for r in (20, 50, 100, 400)]
    assert (np.diff(more) > 0).all()
    deltas = [one_run_lower_bound(90, 100, d, group=group, canaries=200) for d in (0.0, 1e-5, 1e-3, 9e-3)]
    assert (np.diff(deltas) < 0).all()


def test_single_canaries_refute_half_of_what_randomised_response_spends_and_seldom_all_of_it():
    rng = np.random.default_rng(0)
    for eps in (0.5, 2.0):
        right = rng.binomial(100, np.exp(eps) / (1 + np.exp(eps)), 200)
        above = [one_run_lower_bound(v, 100, 0.0, confidence=0.9, group=False) > eps for v in right]
        assert 2 <= sum(above) <= 32  # of 200, at an error of a tenth
    assert min(one_run_lower_bound(v, 2000, 0.0, group=False) for v in rng.binomial(2000, 0.8808, 50)) > 1.0


def most_likely(v, r, m, ratio):
    """The largest P(correct >= v) that the trade-off of each canary allows, by a general solver of convex programs."""
    i = np.arange(r + 1)

    def slack(p):
        gained = np.array([p[w:] @ i[w:] for w in range(1, r + 1)]) / m
        lost = np.array([p[w - 1 :] @ (r - i[w - 1 :]) for w in range(1, r + 1)]) / m
        return norm.cdf(norm.ppf(np.clip(lost, 1e-12, 1)) + ratio) - gained

    start = np.array([comb(r, k) / 2**r for k in i])
    whole = {"type": "eq", "fun": lambda p: p.sum() - 1}
    each = {"type": "ineq", "fun": slack}
    found = minimize(
        lambda p: -p[v:].sum(), start, bounds=[(0, 1)] * (r + 1), constraints=[whole, each], options={"maxiter": 500}
    )
    assert found.success and slack(found.x).min() > -1e-6
    return -found.fun


@pytest.mark.parametrize(("v", "r", "m"), [(8, 8, 8), (9, 10, 10), (8, 8, 20)])
def test_the_gaussian_form_of_single_canaries_is_the_least_ratio_that_a_convex_program_allows(v, r, m):
    form = {"confidence": 0.9, "group": False, "canaries": m, "gaussian": True}
    epsilon = one_run_lower_bound(v, r, 1e-3, **form)
    ratio = 1 / noise_ratio(epsilon, 1e-3)
    assert most_likely(v, r, m, ratio * 1.05) > 0.1 > most_likely(v, r, m, ratio * 0.95)


def test_the_gaussian_form_of_single_canaries_refutes_two_fifths_of_the_ratio_and_not_all_of_it():
    rng, form = np.random.default_rng(0), {"group": False, "canaries": 4000, "gaussian": True}
    for ratio in (0.7, 1.4):
        for _ in range(5):
            coins = rng.random(4000) < 0.5
            order = np.argsort(rng.normal(size=4000) + ratio * coins)
            right = int(np.sum(~coins[order[:200]]) + np.sum(coins[order[-200:]]))
            assert read_epsilon(2.5 / ratio, 1e-5) < one_run_lower_bound(right, 400, 1e-5, **form)
            assert one_run_lower_bound(right, 400, 1e-5, **form) < read_epsilon(1 / ratio, 1e-5)
    assert one_run_lower_bound(200, 400, 1e-5, **form) == 0
    with pytest.raises(cu.BadInput, match="each canary alone"):
        one_run_lower_bound(9, 9, 1e-5, gaussian=True)


def test_whole_requests_are_refuted_as_seldom_as_allowed_where_the_bound_is_attained():
    """P_S: with probability e^eps tail(v) a set that agrees with S in at least v places, else one that does not."""
    rng, r, v = np.random.default_rng(0), 40, 30
    eps = log(0.1 / tail(v, r)) - 1e-9  # so that 90% confidence is just not enough
    chances = np.array([comb(r, k) / 2**r for k in range(r + 1)])
    far, near = np.where(np.arange(r + 1) < v, chances, 0), np.where(np.arange(r + 1) < v, 0, chances)
    law = 0.1 * near / near.sum() + 0.9 * far / far.sum()
    above = [one_run_lower_bound(k, r, 0.0, confidence=0.9) > eps for k in rng.choice(r + 1, 1000, p=law)]
    assert 70 <= sum(above) <= 130
    above = [one_run_lower_bound(k, r, 0.0, confidence=0.89) > eps + 0.1 for k in rng.choice(r + 1, 1000, p=law)]
    assert 30 <= sum(above) <= 130


def test_whole_requests_refute_half_of_what_randomised_response_of_every_coin_spends():
    rng, r = np.random.default_rng(0), 1000
    truth = r * log(2 * 0.9)  # P_S gives S itself 0.9^r, Q gives it 2^-r
    found = [one_run_lower_bound(v, r, 0.0) for v in rng.binomial(r, 0.9, 50)]
    assert truth / 2 < min(found) and max(found) < truth


def test_one_release_tells_its_noise_and_a_tenth_of_it_is_caught():
    rng, sigma = np.random.default_rng(0), 3.7306316
    noises = sigma * rng.normal(size=(500, 100))
    above = [gaussian_release_lower_bound(z, 1.0, 1e-5, confidence=0.9) > 1.0 for z in noises]
    assert 25 <= sum(above) <= 75  # of 500, at an error of a tenth, which is attained
    assert min(gaussian_release_lower_bound(z / 2, 1.0, 1e-5) for z in noises[:50]) > 1.2
    wide = rng.normal(size=10**6)
    assert gaussian_release_lower_bound(wide, 1.0, 1e-5) == pytest.approx(read_epsilon(1.0, 1e-5), rel=0.01)


def test_no_noise_hides_no_distance_and_no_distance_needs_none():
    assert gaussian_release_lower_bound(np.zeros(5), 0.1, 1e-5) == inf
    assert gaussian_release_lower_bound(np.zeros(5), 0.0, 1e-5) == 0
    assert 1e23 < gaussian_release_lower_bound(1e-100 * np.ones(5), 1e100, 1e-5) < inf


def test_what_is_no_audit_is_refused():
    for v, r, m in ((3, 2, None), (0, 0, None), (1, 5, 4), (-1, 5, None)):
        with pytest.raises(cu.BadInput, match="correct <= guesses <= canaries"):
            one_run_lower_bound(v, r, 0.0, canaries=m)
    for noise, distance in ((np.ones(0), 1.0), ([np.nan], 1.0), (np.ones(3), inf), (np.ones(3), -1.0)):
        with pytest.raises(cu.BadInput, match="finite noise and a finite distance"):
            gaussian_release_lower_bound(noise, distance, 1e-5)
    with pytest.raises(cu.BadInput, match="strictly between 0 and 1"):
        one_run_lower_bound(1, 2, 0.0, confidence=1.0)


def test_an_audit_says_what_it_found():
    facts = {"delta": 1e-5, "confidence": 0.99, "how": "one release"}
    bad, fair = Audit(lower=9.2578, epsilon=1.0, **facts), Audit(lower=0.0, epsilon=inf, **facts)
    assert bad.refuted and str(bad).startswith("REFUTED: an audit contradicts the certificate")
    assert "epsilon is at least 9.258 at delta 1e-05 with confidence 0.99, where 1 is claimed (one release)" in str(bad)
    assert not fair.refuted and str(fair).startswith("not refuted") and "nothing is claimed" in str(fair)
