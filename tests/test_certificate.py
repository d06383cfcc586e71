"""Calibration against published numbers, verdicts by their definition, noise of the right size from a secret key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.gaussian import noise_ratio, read_epsilon
from tests.cases import KEY, vector

BUDGET = cu.Budget(epsilon=1.0, delta=1e-5)
PROVED = (cu.Assumption("C", 2.0, "proved"),)
GIVEN = (cu.Assumption("M", 1.0, "given"),)


def update(**facts):
    params = {"a": jnp.zeros((100, 50)), "b": jnp.ones(10)}
    return cu.Update(params=params, method="m", reference="r", **facts)


def test_noise_at_the_published_bounds():
    for distance, sigma in ((46.512, 173.52), (27.904, 104.10), (42.0, 156.69)):
        release = cu.certify(update(bound=distance), BUDGET, KEY)
        assert release.certificate.sigma == pytest.approx(sigma, abs=0.005)


@pytest.mark.parametrize(
    ("facts", "budget", "verdict"),
    [
        ({"bound": None}, BUDGET, "NOT CERTIFIED"),
        ({"bound": 5.0, "radius": 2.0, "uniform": True}, BUDGET, "VACUOUS"),
        ({"bound": 4.0, "radius": 2.0, "uniform": True}, BUDGET, "VACUOUS"),
        ({"bound": 1.0, "radius": 2.0, "assumptions": PROVED, "uniform": True}, BUDGET, "PROVED"),
        ({"bound": 1.0, "radius": 2.0, "assumptions": PROVED}, BUDGET, "CONDITIONAL"),
        ({"bound": 1.0, "assumptions": PROVED}, cu.Budget(epsilon=1, delta=1e-5, distance=1.5), "PROVED"),
        ({"bound": 1.0, "assumptions": PROVED}, cu.Budget(delta=1e-5, sigma=2.0), "PROVED"),
        (
            {"bound": 1.0, "radius": 2.0, "assumptions": PROVED},
            cu.Budget(epsilon=1, delta=1e-5, distance=4.0),
            "VACUOUS",
        ),
        ({"bound": 1.0, "nothing": 0.9, "assumptions": PROVED, "uniform": True}, BUDGET, "VACUOUS"),
        ({"bound": 1.0, "uniform": True}, BUDGET, "CONDITIONAL"),
        ({"bound": 1.0, "assumptions": PROVED + GIVEN, "uniform": True}, BUDGET, "CONDITIONAL"),
    ],
)
def test_verdicts(facts, budget, verdict):
    certificate = cu.certify(update(**facts), budget, KEY).certificate
    assert certificate.verdict == verdict
    assert str(certificate).startswith(verdict)
    assert verdict == "PROVED" or "certified" not in str(certificate).replace("NOT CERTIFIED", "").lower()


def test_noise_follows_the_distance_fixed_in_the_budget_not_the_update():
    budget = cu.Budget(epsilon=1.0, delta=1e-5, distance=2.0)
    sigmas = {cu.certify(update(bound=b), budget, KEY).certificate.sigma for b in (0.1, 1.0, 2.0)}
    assert sigmas == {2 * noise_ratio(1.0, 1e-5)}
    assert {cu.certify(update(bound=b), budget, KEY).certificate.epsilon for b in (0.1, 2.0)} == {1.0}
    with pytest.raises(cu.BadInput, match=r"bound 2.5 exceeds the distance 2 fixed"):
        cu.certify(update(bound=2.5), budget, KEY)


def test_epsilon_is_read_off_a_fixed_sigma():
    certificate = cu.certify(update(bound=42.0), cu.Budget(delta=1e-5, sigma=0.01), KEY).certificate
    assert certificate.sigma == 0.01
    assert certificate.epsilon == pytest.approx(8.84e6, rel=1e-3)


def test_the_smaller_of_theorem_and_trivial_bound_sets_the_noise():
    certificate = cu.certify(update(bound=59.0, radius=20.0), BUDGET, KEY).certificate
    assert certificate.sigma == pytest.approx(40 * noise_ratio(1.0, 1e-5))
    assert (certificate.bound, certificate.trivial_bound) == (59.0, 40.0)


def test_without_a_theorem_there_is_no_noise_unless_sigma_is_given_or_the_trivial_bound_asked_for():
    plain = cu.certify(update(radius=3.0), BUDGET, KEY)
    assert plain.certificate.sigma == 0 and plain.certificate.epsilon is None
    assert (plain.params["a"] == 0).all()
    fixed = cu.certify(update(radius=3.0), cu.Budget(delta=1e-5, sigma=0.5), KEY)
    assert fixed.certificate.sigma == 0.5 and fixed.certificate.verdict == "NOT CERTIFIED"
    trivial = cu.certify(update(radius=3.0), BUDGET, KEY, trivial=True).certificate
    assert trivial.sigma == pytest.approx(6 * noise_ratio(1.0, 1e-5)) and trivial.verdict == "VACUOUS"
    with pytest.raises(cu.BadInput, match="radius"):
        cu.certify(update(), BUDGET, KEY, trivial=True)


def test_a_methods_own_noise_is_not_added_again():
    wide = cu.Budget(epsilon=9.0, delta=1e-5)
    release = cu.certify(update(bound=1.0, noise=2.0, assumptions=PROVED, uniform=True), wide, KEY)
    assert (release.params["a"] == 0).all()
    assert release.certificate.sigma == 2.0
    assert release.certificate.epsilon == pytest.approx(read_epsilon(2.0, 1e-5))
    for less in (cu.Budget(epsilon=0.1, delta=1e-5), cu.Budget(epsilon=9.0, delta=1e-5, distance=1.5)):
        with pytest.raises(cu.BadInput, match="own steps"):
            cu.certify(update(bound=1.0, noise=2.0, assumptions=PROVED), less, KEY)


def test_an_epsilon_that_the_request_decides_is_stated_as_the_budgets():
    """Noise fixed before, a bound measured for this request: the epsilon read off would tell of the request."""
    facts, budget = {"bound": 1.0, "noise": 2.0}, cu.Budget(epsilon=9.0, delta=1e-5)
    exact = read_epsilon(2.0, 1e-5)
    assert cu.certify(update(**facts, uniform=True), budget, KEY).certificate.epsilon == pytest.approx(exact)
    told = cu.certify(update(**facts), budget, KEY).certificate
    assert told.epsilon == 9.0 and told.account.epsilon(1e-5) == pytest.approx(9.0, rel=1e-6)
    fixed = cu.Budget(epsilon=9.0, delta=1e-5, sigma=2.0)
    told = cu.certify(update(bound=1.0), fixed, KEY).certificate
    assert told.epsilon == 9.0 and told.account.epsilon(1e-5) == pytest.approx(9.0, rel=1e-6)
    with pytest.raises(cu.BadInput, match=r"sigma 2 gives epsilon 3\.\d+ at delta 1e-05, more than the budget's 1"):
        cu.certify(update(bound=1.6), cu.Budget(epsilon=1.0, delta=1e-5, sigma=2.0), KEY)


def test_noise_that_is_no_gaussian_is_certified_by_the_pairs_it_proves():
    facts = {"bound": 2.0, "noise": 1.0, "profile": ((0.5, 1e-3), (1.0, 2e-6), (2.0, 1e-9)), "assumptions": PROVED}
    release = cu.certify(update(**facts, uniform=True, compared="unlearner"), BUDGET, KEY)
    assert (release.params["a"] == 0).all() and release.certificate.verdict == "PROVED"
    assert release.certificate.epsilon == 1.0 and release.certificate.account.pairs == ((1.0, 1e-5),)
    assert "no Gaussian trade-off" in str(release.certificate)
    with pytest.raises(cu.BadInput, match="gives epsilon 2 "):
        cu.certify(update(**facts), cu.Budget(epsilon=1.0, delta=1e-6), KEY)
    with pytest.raises(cu.BadInput, match="gives epsilon inf"):
        cu.certify(update(**facts), cu.Budget(epsilon=1.0, delta=1e-12), KEY)
    with pytest.raises(cu.BadInput, match="compared must be one of"):
        update(compared="hope")


def test_the_noise_has_the_right_scale_and_neither_half_nor_twice_it():
    release = cu.certify(update(bound=1.0), BUDGET, cu.secret_key())
    sigma, z = release.certificate.sigma, np.asarray(release.params["a"]).ravel()
    error = sigma / np.sqrt(2 * z.size)
    assert abs(z.std() - sigma) < 5 * error
    assert abs(z.mean()) < 5 * sigma / np.sqrt(z.size)
    for wrong in (sigma * 2 / 3, sigma * 3 / 2):
        assert abs(z.std() - wrong) > 5 * error


def test_noise_is_drawn_only_where_it_is_added(monkeypatch):
    drawn, normal = [], jax.random.normal
    monkeypatch.setattr(jax.random, "normal", lambda *shape: drawn.append(shape) or normal(*shape))
    own = update(bound=2.0, noise=5.0, radius=2.0, assumptions=PROVED)
    bare, exact = update(bound=None), update(bound=0.0, exact=True)
    for unnoised in (own, bare, exact):
        release = cu.certify(unnoised, cu.Budget(epsilon=3.0, delta=1e-5), KEY)
        assert (vector(release.params) == vector(unnoised.projected())).all()
    assert not drawn
    cu.certify(update(bound=1.0), BUDGET, KEY)
    assert len(drawn) == 2  # one for each leaf


def test_equal_layers_get_unrelated_noise():
    twins = cu.Update(params={"a": jnp.zeros(4000), "b": jnp.zeros(4000)}, method="m", reference="r", bound=1.0)
    noise = cu.certify(twins, BUDGET, KEY).params
    assert abs(np.corrcoef(noise["a"], noise["b"])[0, 1]) < 5 / np.sqrt(4000)


def test_two_secret_keys_give_unrelated_noise_and_one_key_the_same():
    a, b = (cu.certify(update(bound=1.0), BUDGET, cu.secret_key()).params["a"].ravel() for _ in range(2))
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(a.size)
    key = cu.secret_key()
    c, d = (cu.certify(update(bound=1.0), BUDGET, key).params["a"] for _ in range(2))
    assert (c == d).all()
    assert jax.random.key_data(cu.secret_key()).tolist() != jax.random.key_data(cu.secret_key()).tolist()


def test_releases_are_projected_before_noise_and_the_update_is_kept():
    far = cu.Update(params={"w": jnp.array([3.0, 4.0])}, method="m", reference="r", radius=1.0)
    release = cu.certify(far, BUDGET, KEY)
    np.testing.assert_allclose(release.params["w"], [0.6, 0.8], rtol=1e-12)
    np.testing.assert_allclose(release.update.params["w"], [3.0, 4.0])


def test_the_norm_a_certificate_tells_is_the_releases_not_the_secrets():
    release = cu.certify(update(bound=1.0), BUDGET, KEY)
    total = np.sqrt(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(release.params)))
    assert release.certificate.parameter_norm == pytest.approx(total)


def test_failure_probability_is_added_to_delta_and_everything_is_printed():
    facts = {"bound": 1.5, "radius": 2.0, "assumptions": PROVED + GIVEN, "failure_probability": 0.1}
    certificate = cu.certify(update(**facts), BUDGET, KEY).certificate
    assert certificate.total_delta == pytest.approx(0.10001)
    printed = str(certificate)
    parts = ["0.1 for the solver", "trivial bound 2C = 4", "given", "proved", "not covered", "noise norm", "release 1 "]
    parts += [
        "compared with  r, plus the same noise",
        "for every event E",
        "retraining on who is left, with the same noise",
        "composed epsilon",
        "by zCDP at most",
    ]
    for part in parts:
        assert part in printed


def test_a_release_that_is_mostly_noise_says_so():
    big = cu.Update(params={"w": jnp.full(10000, 3.0)}, method="m", reference="r", bound=1.0)
    for sigma, mostly in ((1.0, False), (30.0, True)):
        certificate = cu.certify(big, cu.Budget(delta=1e-5, sigma=sigma), KEY).certificate
        assert certificate.signal_to_noise == pytest.approx(3 / sigma, abs=0.2)
        assert ("mostly noise" in str(certificate)) == mostly
    assert cu.certify(big, cu.Budget(delta=1e-5, sigma=1e9), KEY).certificate.signal_to_noise < 0.3


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
    broken = cu.Update(params={"w": jnp.array([jnp.nan])}, method="m", reference="r")
    with pytest.raises(cu.BadInput, match="NaN"):
        cu.certify(broken, BUDGET, KEY)
    with pytest.raises(cu.BadInput, match="no noise"):
        cu.certify(update(bound=float("inf")), BUDGET, KEY)
    with pytest.raises(cu.BadInput, match="at least 0"):
        cu.certify(update(bound=-1.0), BUDGET, KEY)
    with pytest.raises(cu.BadInput, match="no guarantee"):
        cu.certify(update(bound=1.0, failure_probability=1.0), BUDGET, KEY)
    with pytest.raises(cu.BadInput, match="range"):
        cu.certify(update(bound=1.0), cu.Budget(epsilon=1e300, delta=1e-5), KEY)
    with pytest.raises(cu.BadInput, match="status"):
        cu.Assumption("x", 1.0, "hoped")


def test_the_certificate_says_where_the_noise_comes_from_and_what_it_hangs_on():
    fixed = cu.Budget(epsilon=1.0, delta=1e-5, distance=2.0)
    for facts, budget, said in (
        ({}, BUDGET, "true of this request alone, whose own bound decides the noise"),
        ({}, BUDGET, "analytic calibration to the bound, which is this request's own"),
        ({"uniform": True}, BUDGET, "calibration to the bound, the same for every such request"),
        ({}, fixed, "calibration to the distance 2, fixed before the request"),
        ({}, cu.Budget(delta=1e-5, sigma=2.0), "sigma fixed before the request"),
        (
            {"assumptions": GIVEN, "unchecked": ("u",)},
            BUDGET,
            "if the constants marked given are, and if what is unchecked",
        ),
        ({"compared": "minimiser"}, BUDGET, "exact minimisation on who is left"),
    ):
        assert said in str(cu.certify(update(**{"bound": 1.0, "assumptions": PROVED} | facts), budget, KEY).certificate)
    with pytest.raises(cu.BadInput, match="nothing is proved of this update"):
        cu.certify(update(), fixed, KEY)


def test_noise_of_sixteen_bits_is_refused():
    half = cu.Update(params={"w": jnp.zeros(4, jnp.float16)}, method="m", reference="r", bound=1.0)
    with pytest.raises(cu.BadInput, match="16 bits is no Gaussian"):
        cu.certify(half, BUDGET, KEY)
