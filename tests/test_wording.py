"""A certificate as it is printed: where the noise comes from, what it hangs on, what it hides."""

import jax.numpy as jnp
import pytest

import certunl as cu
from tests.cases import KEY, claimed
from tests.test_certificate import BUDGET, GIVEN, PROVED, update


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
    big = claimed({"w": jnp.full(10000, 3.0)}, bound=1.0)
    for sigma, mostly in ((1.0, False), (30.0, True)):
        certificate = cu.certify(big, cu.Budget(delta=1e-5, sigma=sigma), KEY).certificate
        assert certificate.signal_to_noise == pytest.approx(3 / sigma, abs=0.2)
        assert ("mostly noise" in str(certificate)) == mostly
    assert cu.certify(big, cu.Budget(delta=1e-5, sigma=1e9), KEY).certificate.signal_to_noise < 0.3


def test_the_certificate_says_where_the_noise_comes_from_and_what_it_hangs_on():
    fixed = cu.Budget(epsilon=1.0, delta=1e-5, distance=2.0)
    for facts, budget, said in (
        ({}, BUDGET, "true of this request alone, whose own bound decides the noise"),
        ({}, BUDGET, "analytic calibration to the bound, which is this request's own"),
        ({"every_request": True}, BUDGET, "calibration to the bound, the same for every such request"),
        ({}, fixed, "calibration to the distance 2, fixed before the request"),
        ({}, cu.Budget(delta=1e-5, sigma=2.0), "sigma fixed before the request"),
        (
            {"assumptions": GIVEN, "unchecked": ("u",)},
            BUDGET,
            "if the constants marked given are, and if what is unchecked",
        ),
        ({"sense": "minimiser"}, BUDGET, "exact minimisation on who is left"),
    ):
        assert said in str(cu.certify(update(**{"bound": 1.0, "assumptions": PROVED} | facts), budget, KEY).certificate)
    with pytest.raises(cu.BadInput, match="nothing is proved of this update"):
        cu.certify(update(), fixed, KEY)
