"""A certificate as it is printed: where the noise comes from, what it hangs on, what it hides."""

import jax
import jax.numpy as jnp
import pytest

import certunl as cu
from tests.cases import claimed, classes
from tests.test_certificate import BUDGET, GIVEN, PROVED, update


def test_failure_probability_is_added_to_delta_and_everything_is_printed():
    facts = {"bound": 1.5, "radius": 2.0, "assumptions": PROVED + GIVEN, "failure_probability": 0.1}
    certificate = cu.certify(update(**facts), BUDGET).certificate
    assert certificate.total_delta == pytest.approx(0.10001)
    printed = str(certificate)
    parts = ["0.1 for the solver", "trivial bound 2C = 4", "given", "proved", "not covered", "noise norm", "release 1 "]
    parts += [
        "compared with  r, plus the same noise",
        "for every event E",
        "retraining on the retained examples, with the same noise",
        "composed epsilon",
        "by zCDP at most",
    ]
    for part in parts:
        assert part in printed


def test_a_release_that_is_mostly_noise_says_so():
    big = claimed({"w": jnp.full(10000, 3.0)}, bound=1.0)
    for sigma, mostly in ((1.0, False), (30.0, True)):
        certificate = cu.certify(big, cu.Budget(delta=1e-5, sigma=sigma)).certificate
        assert certificate.signal_to_noise == pytest.approx(3 / sigma, abs=0.2)
        assert ("mostly noise" in str(certificate)) == mostly
    assert cu.certify(big, cu.Budget(delta=1e-5, sigma=1e9)).certificate.signal_to_noise < 0.3


def test_the_certificate_says_where_the_noise_comes_from_and_what_it_hangs_on():
    fixed = cu.Budget(epsilon=1.0, delta=1e-5, distance=2.0)
    for facts, budget, said in (
        ({}, BUDGET, "true for this request alone, because its own bound determines the noise"),
        ({}, BUDGET, "analytic calibration to the bound, which is this request's own"),
        ({"every_request": True}, BUDGET, "calibration to the bound, which is the same for every request of this size"),
        ({}, fixed, "calibration to the distance 2, fixed before the request"),
        ({}, cu.Budget(delta=1e-5, sigma=2.0), "sigma fixed before the request"),
        (
            {"assumptions": GIVEN, "unchecked": ("u",)},
            BUDGET,
            "if the constants marked given are correct, and if the unchecked conditions",
        ),
        ({"sense": "minimiser"}, BUDGET, "exact minimisation on the retained examples"),
    ):
        assert said in str(cu.certify(update(**{"bound": 1.0, "assumptions": PROVED} | facts), budget).certificate)
    with pytest.raises(cu.BadInput, match="nothing is proved of this update"):
        cu.certify(update(), fixed)


@pytest.mark.parametrize(
    ("facts", "budget", "conditions"),
    [
        ({}, BUDGET, ["for this request alone"]),
        ({"every_request": True, "assumptions": ()}, BUDGET, ["names no assumption"]),
        ({"assumptions": GIVEN}, BUDGET, ["marked given", "for this request alone"]),
        ({"unchecked": ("u",), "every_request": True}, BUDGET, ["unchecked conditions"]),
    ],
)
def test_a_conditional_certificate_names_all_its_conditions_and_no_other(facts, budget, conditions):
    certificate = cu.certify(update(**{"bound": 1.0, "assumptions": PROVED} | facts), budget).certificate
    first = str(certificate).splitlines()[0]
    assert certificate.verdict == "CONDITIONAL"
    every = {"for this request alone", "names no assumption", "marked given", "unchecked conditions"}
    assert {part for part in every if part in first} == set(conditions)


def test_a_delta_from_one_over_n_has_a_line():
    facts = {"bound": 1.5, "radius": 2.0, "assumptions": PROVED}
    for examples, delta, told in ((100, 0.01, True), (99, 0.01, False), (None, 0.09, False)):
        made = update(**facts, examples=examples)
        printed = str(cu.certify(made, cu.Budget(epsilon=1.0, delta=delta)).certificate)
        assert ("at least 1/n for n = 100" in printed) == told
    run = cu.train(cu.classification(cu.models.Linear(classes=3), classes()), cu.Recipe(epochs=1), jax.random.key(0))
    assert cu.Retrain().forget(run.minus([0], run.params), None, [1], jax.random.key(0)).guarantee.examples == 29
