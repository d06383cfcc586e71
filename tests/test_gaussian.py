"""Calibration and composition against published numbers, and what must hold at every setting."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

import certunl as cu
from certunl.certificates.budget import Charge
from certunl.certificates.gaussian import classical_ratio, noise_ratio, read_epsilon, zcdp_epsilon
from tests.cases import claimed

EPSILONS = st.floats(0.05, 50)
DELTAS = st.floats(-12, -0.5).map(lambda power: 10**power)
SOME = settings(max_examples=40, deadline=None)


def proved_delta(epsilon, r):
    """Balle and Wang 2018, theorem 8, in logarithms."""
    a, b = norm.logcdf(r / 2 - epsilon / r), epsilon + norm.logcdf(-r / 2 - epsilon / r)
    return np.exp(a) * -np.expm1(b - a)


@pytest.mark.parametrize(
    ("epsilon", "classical", "exact"),
    [
        (0.1, 48.448, 30.750),
        (0.5, 9.690, 7.032),
        (1, 4.845, 3.7306316348),
        (2, 2.422, 1.994),
        (5, 0.969, 0.892),
        (10, 0.4845, 0.4999),
        (50, 0.0969, 0.1498),
        (100, 0.0484, 0.0947),
    ],
)
def test_sigma_over_distance_at_delta_one_in_100_000(epsilon, classical, exact):
    assert noise_ratio(epsilon, 1e-5) == pytest.approx(exact, rel=5e-4)
    assert classical_ratio(epsilon, 1e-5) == pytest.approx(classical, rel=1e-3)
    unsafe = classical_ratio(epsilon, 1e-5) < noise_ratio(epsilon, 1e-5)
    assert unsafe == (epsilon >= 10)  # from about 8.5 on


@pytest.mark.parametrize(
    ("epsilon", "r", "delta"),
    [(0, 1, 0.382924922548), (1, 1, 0.126936737507), (1, 0.5, 0.006829594983), (10, 5, 0.616623730410)],
)
def test_the_published_deltas_read_back(epsilon, r, delta):
    assert proved_delta(epsilon, r) == pytest.approx(delta, rel=1e-10)
    assert read_epsilon(1 / r, delta) == pytest.approx(epsilon, abs=1e-6)


def test_composition_of_k_releases_of_epsilon_one():
    ratio = 1 / noise_ratio(1.0, 1e-5)
    published = {1: 1.0, 2: 1.465, 5: 2.442, 10: 3.619, 50: 9.359, 100: 14.429}
    for k, epsilon in published.items():
        account = cu.Account(ratios=(ratio,) * k)
        assert account.epsilon(1e-5) == pytest.approx(epsilon, abs=6e-4)
        assert account.zcdp_epsilon(1e-5) >= account.epsilon(1e-5)


def test_groups_of_m_under_gaussian_privacy():
    r = 1 / noise_ratio(1.0, 1e-5)
    for m, epsilon in {1: 1.000, 2: 2.155, 5: 6.167, 10: 14.429}.items():
        assert read_epsilon(1 / (m * r), 1e-5) == pytest.approx(epsilon, abs=6e-4)


@SOME
@given(EPSILONS, DELTAS)
def test_calibration_satisfies_the_gaussian_equation_and_epsilon_reads_back(epsilon, delta):
    r = 1 / noise_ratio(epsilon, delta)
    assert proved_delta(epsilon, r) == pytest.approx(delta, rel=1e-4, abs=1e-15)
    assert read_epsilon(1 / r, delta) == pytest.approx(epsilon, rel=1e-6)


@SOME
@given(EPSILONS, DELTAS, st.floats(1.01, 10))
def test_sigma_falls_with_epsilon_and_with_delta(epsilon, delta, more):
    assert noise_ratio(epsilon * more, delta) < noise_ratio(epsilon, delta)
    assert noise_ratio(epsilon, min(delta * more, 0.9)) < noise_ratio(epsilon, delta)


@SOME
@given(st.floats(1e-6, 1e3), st.floats(1.01, 100), EPSILONS)
def test_sigma_rises_with_the_bound_and_not_beyond_the_trivial_one(bound, more, epsilon):
    def sigma(bound, radius=None):
        update = claimed({"w": np.zeros(2)}, bound=bound, radius=radius)
        return cu.certify(update, cu.Budget(epsilon=epsilon, delta=1e-5)).certificate.sigma

    assert sigma(bound * more) == pytest.approx(more * sigma(bound), rel=1e-9)
    assert sigma(bound * more, radius=bound / 2) == sigma(bound)


@SOME
@given(st.lists(st.floats(1e-3, 3), min_size=1, max_size=8), st.floats(-10, -2).map(lambda power: 10**power))
def test_composition_adds_squares_grows_with_every_release_and_never_beats_zcdp(ratios, delta):
    account = cu.Account(ratios=tuple(ratios))
    assert account.epsilon(delta) == pytest.approx(read_epsilon(1 / np.linalg.norm(ratios), delta), rel=1e-9)
    assert account.epsilon(delta) >= cu.Account(ratios=tuple(ratios[1:])).epsilon(delta)
    assert account.epsilon(delta) <= account.zcdp_epsilon(delta) * (1 + 1e-9)
    assert account.zcdp_epsilon(delta) == pytest.approx(zcdp_epsilon(float(np.linalg.norm(ratios)), delta))


@SOME
@given(st.floats(0.05, 3), DELTAS, st.booleans())
def test_mu_of_a_certificate_gives_its_epsilon_at_every_delta(ratio, delta, own):
    facts = {"noise": 1.0} if own else {}
    update = claimed({"w": np.zeros(2)}, bound=ratio, every_request=True, **facts)
    budget = cu.Budget(epsilon=100.0, delta=delta) if own else cu.Budget(sigma=1.0, delta=delta)
    certificate = cu.certify(update, budget).certificate
    assert certificate.mu == pytest.approx(ratio, rel=1e-12)
    if certificate.epsilon:
        assert proved_delta(certificate.epsilon, certificate.mu) == pytest.approx(delta, rel=1e-4)
    for other in (1e-3, 1e-7):
        assert cu.Account(ratios=(ratio,)).epsilon(other) == pytest.approx(read_epsilon(1 / certificate.mu, other))


def test_mu_is_none_where_no_single_gaussian_is_proved_and_is_no_smaller_than_the_epsilon_that_is_stated():
    budget = cu.Budget(epsilon=1.0, delta=1e-5)
    one = 1 / noise_ratio(1.0, 1e-5)
    for facts, mu in (
        ({"bound": 2.0}, one),
        ({"bound": 0.0, "exact": True, "every_request": True}, 0.0),
        ({}, None),
        ({"bound": 2.0, "failure_probability": 1e-6}, None),
        ({"noise": 1.0, "pairs": ((0.5, 1e-6),)}, None),
        ({"noise": 1.0}, None),
    ):
        certificate = cu.certify(claimed({"w": np.zeros(2)}, **facts), budget).certificate
        assert certificate.mu == (mu if mu is None else pytest.approx(mu))
        assert ("mu-GDP" in str(certificate)) == (mu is not None)
        assert ("composed mu" in str(certificate)) == bool(mu)  # exact retraining spends nothing
    fixed = cu.Budget(epsilon=1.0, delta=1e-5, sigma=9.0)  # what is stated tells nothing of this request's own bound
    assert {cu.certify(claimed({"w": np.zeros(2)}, bound=b), fixed).certificate.mu for b in (0.0, 0.1, 2.0)} == {one}


def test_mus_compose_by_their_squares():
    assert cu.Account().mu == 0 and cu.Account(ratios=(0.3, 0.4)).mu == pytest.approx(0.5)
    assert cu.Account(ratios=(0.3, math.inf)).mu is cu.Account(ratios=(0.3,), failures=1e-9).mu is None
    account, update = cu.Account(), claimed({"w": np.zeros(2)}, bound=0.6)
    for _ in range(4):
        certificate = cu.certify(update, cu.Budget(sigma=2.0, delta=1e-5), account=account).certificate
        account = certificate.account
    assert certificate.mu == pytest.approx(0.3) and account.mu == pytest.approx(0.6)
    assert "composed mu 0.6" in str(certificate)


def test_pairs_are_added_to_gaussians_and_their_deltas_taken_from_the_total():
    account = cu.Account(ratios=(0.3,), pairs=((0.5, 1e-6), (0.25, 2e-6)), failures=1e-6)
    assert account.releases == 3 and account.least_delta == pytest.approx(4e-6)
    assert account.epsilon(1e-5) == pytest.approx(0.75 + read_epsilon(1 / 0.3, 6e-6))
    assert math.isinf(account.epsilon(4e-6)) and math.isinf(account.epsilon(3e-6))
    assert cu.Account(pairs=((0.5, 1e-6),)).epsilon(1e-6) == 0.5
    total = cu.Account(total=cu.Budget(epsilon=1.0, delta=1e-5), pairs=((0.5, 1e-6),))
    assert total.charge(Charge(pairs=((0.5, 1e-6),))).releases == 2
    with pytest.raises(cu.BadInput, match=r"the line would reach epsilon 1\.1"):
        total.charge(Charge(pairs=((0.6, 1e-6),)))


def test_the_classical_rule_is_for_epsilon_up_to_one_and_states_the_exact_epsilon():
    update = claimed({"w": np.zeros(2)}, bound=46.512)
    certificate = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5, calibration="classical")).certificate
    assert certificate.sigma == pytest.approx(225.34, abs=0.005)
    assert (
        certificate.epsilon == pytest.approx(read_epsilon(225.34 / 46.512, 1e-5), rel=1e-4) and certificate.epsilon < 1
    )
    assert certificate.account.epsilon(1e-5) == pytest.approx(certificate.epsilon)
    with pytest.raises(cu.BadInput, match="epsilon up to 1 only"):
        cu.Budget(delta=1e-5, calibration="classical", epsilon=1.5)
    with pytest.raises(cu.BadInput, match="classical rule has nothing to calibrate"):
        cu.Budget(delta=1e-5, calibration="classical", sigma=2.0)
    with pytest.raises(cu.BadInput, match="one of analytic, classical"):
        cu.Budget(epsilon=1.0, delta=1e-5, calibration="hopeful")
