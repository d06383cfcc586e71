"""Calibration against published numbers, verdicts by their definition, what is refused."""

import jax.numpy as jnp
import pytest

import certunl as cu
from certunl.certificates.gaussian import noise_ratio, read_epsilon
from tests.cases import claimed

BUDGET = cu.Budget(epsilon=1.0, delta=1e-5)
PROVED = (cu.Assumption("C", 2.0, "proved"),)
GIVEN = (cu.Assumption("M", 1.0, "given"),)


def update(**facts):
    params = {"a": jnp.zeros((100, 50)), "b": jnp.ones(10)}
    return claimed(params, **facts)


def test_noise_at_the_published_bounds():
    for distance, sigma in ((46.512, 173.52), (27.904, 104.10), (42.0, 156.69)):
        release = cu.certify(update(bound=distance), BUDGET)
        assert release.certificate.sigma == pytest.approx(sigma, abs=0.005)


@pytest.mark.parametrize(
    ("facts", "budget", "verdict"),
    [
        ({"bound": None}, BUDGET, "NOT CERTIFIED"),
        ({"bound": 5.0, "radius": 2.0, "every_request": True}, BUDGET, "VACUOUS"),
        ({"bound": 4.0, "radius": 2.0, "every_request": True}, BUDGET, "VACUOUS"),
        ({"bound": 1.0, "radius": 2.0, "assumptions": PROVED, "every_request": True}, BUDGET, "PROVED"),
        ({"bound": 1.0, "radius": 2.0, "assumptions": PROVED}, BUDGET, "CONDITIONAL"),
        ({"bound": 1.0, "assumptions": PROVED}, cu.Budget(epsilon=1, delta=1e-5, distance=1.5), "PROVED"),
        ({"bound": 1.0, "assumptions": PROVED}, cu.Budget(delta=1e-5, sigma=2.0), "PROVED"),
        (
            {"bound": 1.0, "radius": 2.0, "assumptions": PROVED},
            cu.Budget(epsilon=1, delta=1e-5, distance=4.0),
            "VACUOUS",
        ),
        ({"bound": 1.0, "nothing": 0.9, "assumptions": PROVED, "every_request": True}, BUDGET, "VACUOUS"),
        ({"bound": 1.0, "every_request": True}, BUDGET, "CONDITIONAL"),
        ({"bound": 1.0, "assumptions": PROVED + GIVEN, "every_request": True}, BUDGET, "CONDITIONAL"),
    ],
)
def test_verdicts(facts, budget, verdict):
    certificate = cu.certify(update(**facts), budget).certificate
    assert certificate.verdict == verdict
    assert str(certificate).startswith(verdict)
    assert verdict == "PROVED" or "certified" not in str(certificate).replace("NOT CERTIFIED", "").lower()


def test_noise_follows_the_distance_fixed_in_the_budget_not_the_update():
    budget = cu.Budget(epsilon=1.0, delta=1e-5, distance=2.0)
    sigmas = {cu.certify(update(bound=b), budget).certificate.sigma for b in (0.1, 1.0, 2.0)}
    assert sigmas == {2 * noise_ratio(1.0, 1e-5)}
    assert {cu.certify(update(bound=b), budget).certificate.epsilon for b in (0.1, 2.0)} == {1.0}
    with pytest.raises(cu.BadInput, match=r"bound 2.5 exceeds the distance 2 fixed"):
        cu.certify(update(bound=2.5), budget)


def test_epsilon_is_read_off_a_fixed_sigma():
    certificate = cu.certify(update(bound=42.0), cu.Budget(delta=1e-5, sigma=0.01)).certificate
    assert certificate.sigma == 0.01
    assert certificate.epsilon == pytest.approx(8.84e6, rel=1e-3)


def test_the_smaller_of_theorem_and_trivial_bound_sets_the_noise():
    certificate = cu.certify(update(bound=59.0, radius=20.0), BUDGET).certificate
    assert certificate.sigma == pytest.approx(40 * noise_ratio(1.0, 1e-5))
    assert (certificate.bound, certificate.ceiling) == (59.0, 40.0)


def test_without_a_theorem_there_is_no_noise_unless_sigma_is_given_or_the_trivial_bound_asked_for():
    plain = cu.certify(update(radius=3.0), BUDGET)
    assert plain.certificate.sigma == 0 and plain.certificate.epsilon is None
    assert (plain.params["a"] == 0).all()
    fixed = cu.certify(update(radius=3.0), cu.Budget(delta=1e-5, sigma=0.5))
    assert fixed.certificate.sigma == 0.5 and fixed.certificate.verdict == "NOT CERTIFIED"
    trivial = cu.certify(update(radius=3.0), BUDGET, trivial=True).certificate
    assert trivial.sigma == pytest.approx(6 * noise_ratio(1.0, 1e-5)) and trivial.verdict == "VACUOUS"
    with pytest.raises(cu.BadInput, match="radius"):
        cu.certify(update(), BUDGET, trivial=True)


def test_a_methods_own_noise_is_not_added_again():
    wide = cu.Budget(epsilon=9.0, delta=1e-5)
    release = cu.certify(update(bound=1.0, noise=2.0, assumptions=PROVED, every_request=True), wide)
    assert (release.params["a"] == 0).all()
    assert release.certificate.sigma == 2.0
    assert release.certificate.epsilon == pytest.approx(read_epsilon(2.0, 1e-5))
    for less in (cu.Budget(epsilon=0.1, delta=1e-5), cu.Budget(epsilon=9.0, delta=1e-5, distance=1.5)):
        with pytest.raises(cu.BadInput, match="own steps"):
            cu.certify(update(bound=1.0, noise=2.0, assumptions=PROVED), less)


def test_an_epsilon_that_the_request_decides_is_stated_as_the_budgets():
    """Noise fixed before, a bound measured for this request: the epsilon read off would tell of the request."""
    facts, budget = {"bound": 1.0, "noise": 2.0}, cu.Budget(epsilon=9.0, delta=1e-5)
    exact = read_epsilon(2.0, 1e-5)
    assert cu.certify(update(**facts, every_request=True), budget).certificate.epsilon == pytest.approx(exact)
    told = cu.certify(update(**facts), budget).certificate
    assert told.epsilon == 9.0 and told.account.epsilon(1e-5) == pytest.approx(9.0, rel=1e-6)
    fixed = cu.Budget(epsilon=9.0, delta=1e-5, sigma=2.0)
    told = cu.certify(update(bound=1.0), fixed).certificate
    assert told.epsilon == 9.0 and told.account.epsilon(1e-5) == pytest.approx(9.0, rel=1e-6)
    with pytest.raises(cu.BadInput, match=r"sigma 2 gives epsilon 3\.\d+ at delta 1e-05, more than the budget's 1"):
        cu.certify(update(bound=1.6), cu.Budget(epsilon=1.0, delta=1e-5, sigma=2.0))


def test_noise_that_is_no_gaussian_is_certified_by_the_pairs_it_proves():
    facts = {"noise": 1.0, "pairs": ((0.5, 1e-3), (1.0, 2e-6), (2.0, 1e-9)), "assumptions": PROVED}
    release = cu.certify(update(**facts, every_request=True, sense="unlearner"), BUDGET)
    assert (release.params["a"] == 0).all() and release.certificate.verdict == "PROVED"
    assert release.certificate.epsilon == 1.0 and release.certificate.account.pairs == ((1.0, 1e-5),)
    assert "no Gaussian trade-off" in str(release.certificate)
    with pytest.raises(cu.BadInput, match="gives epsilon 2 "):
        cu.certify(update(**facts), cu.Budget(epsilon=1.0, delta=1e-6))
    with pytest.raises(cu.BadInput, match="gives epsilon inf"):
        cu.certify(update(**facts), cu.Budget(epsilon=1.0, delta=1e-12))
    with pytest.raises(cu.BadInput, match="sense must be one of"):
        update(sense="hope")


@pytest.mark.parametrize(
    "settings",
    [
        {"epsilon": 0.0, "delta": 1e-5},
        {"epsilon": -1.0, "delta": 1e-5},
        {"epsilon": float("nan"), "delta": 1e-5},
        {"epsilon": 1.0, "delta": 0.0},
        {"epsilon": 1.0, "delta": 1.0},
        {"delta": 1e-5},
        {"epsilon": "1", "delta": 1e-5},
        {"epsilon": 1.0, "delta": 1e-5, "sigma": 0.0},
        {"epsilon": 1.0, "delta": 1e-5, "sigma": 1.0, "distance": 1.0},
    ],
)
def test_impossible_budgets_are_refused(settings):
    with pytest.raises(cu.BadInput):
        cu.Budget(**settings)


def test_updates_that_are_not_numbers_are_refused():
    broken = claimed({"w": jnp.array([jnp.nan])})
    with pytest.raises(cu.BadInput, match="NaN"):
        cu.certify(broken, BUDGET)
    with pytest.raises(cu.BadInput, match="no noise"):
        cu.certify(update(bound=float("inf")), BUDGET)
    with pytest.raises(cu.BadInput, match="at least 0"):
        cu.certify(update(bound=-1.0), BUDGET)
    with pytest.raises(cu.BadInput, match="no guarantee"):
        cu.certify(update(bound=1.0, failure_probability=1.0), BUDGET)
    with pytest.raises(cu.BadInput, match="range"):
        cu.certify(update(bound=1.0), cu.Budget(epsilon=1e300, delta=1e-5))
    with pytest.raises(cu.BadInput, match="status"):
        cu.Assumption("x", 1.0, "hoped")


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        *((lambda wrong=wrong: cu.Distance(wrong), "at least 0") for wrong in ("x", None, -1, float("nan"))),
        (lambda: cu.Distance(1.0, doing_nothing=-1.0), "at least 0"),
        (lambda: cu.OwnNoise(-1.0, 1.0), "at least 0"),
        *(
            (lambda wrong=wrong: cu.OwnNoise(1.0, wrong), "sigma must be a positive")
            for wrong in (0.0, float("nan"), "x")
        ),
        (lambda: cu.Pairs(((0.1, -1.0),), 1.0), "an epsilon and a delta"),
        (lambda: cu.Pairs(((0.1, float("nan")),), 1.0), "an epsilon and a delta"),
        (lambda: cu.Pairs(((0.1, 0.2, 0.3),), 1.0), "an epsilon and a delta"),
        (lambda: cu.Pairs(((0.1, 0.2),), 0.0), "sigma must be a positive"),
        (lambda: cu.Guarantee(says="near", reference="r"), "says must be a Distance"),
        (lambda: cu.Guarantee(says=None, reference="r", failure_probability=-0.5), "between 0 and 1"),
        (lambda: cu.Guarantee(says=None, reference="r", unchecked="a word"), "tuple of str"),
        (lambda: cu.Guarantee(says=None, reference="r", assumptions=("C",)), "tuple of Assumption"),
    ],
)
def test_a_guarantee_that_means_nothing_cannot_be_built(build, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        build()


def test_an_array_without_axes_is_a_number():
    assert cu.Distance(jnp.float32(0.5)).bound == 0.5
