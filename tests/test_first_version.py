"""What version 0.1 wrote and called by other names is still read, and the names still answer, with a warning."""

import math

import jax.numpy as jnp
import pytest

import certunl as cu
from certunl import disk
from certunl.folders._guarantees import certificate_of, guarantee_of, noted
from tests.cases import claimed

FLAT = {
    "method": "m",
    "reference": "r",
    "bound": None,
    "nothing": None,
    "uniform": False,
    "exact": False,
    "failure_probability": 0.0,
    "noise": 0.0,
    "profile": [],
    "compared": "retraining",
    "looks_back": False,
    "radius": None,
    "assumptions": [],
    "unchecked": [],
    "missing": [],
}
"""The facts of an update as 0.1 kept them."""
C = {"symbol": "C", "value": 2.0, "status": "proved", "meaning": "radius"}


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"missing": ["M"]}, None),
        ({"bound": 0.5, "nothing": 0.7, "assumptions": [C], "uniform": True}, cu.Distance(0.5, doing_nothing=0.7)),
        ({"bound": 0.0, "exact": True}, cu.Distance(0.0, exact=True)),
        ({"bound": 0.5, "noise": 2.0, "compared": "unlearner"}, cu.OwnNoise(0.5, 2.0)),
        ({"noise": 2.0, "missing": ["low and high"], "looks_back": True}, cu.OwnNoise(None, 2.0)),
        (
            {"bound": 4.0, "noise": 2.0, "profile": [[0.5, 1e-3], [1.0, 1e-6]]},
            cu.Pairs(((0.5, 1e-3), (1.0, 1e-6)), 2.0),
        ),
    ],
)
def test_an_update_of_the_first_version_is_read(facts, says):
    facts = FLAT | facts
    guarantee = guarantee_of(facts)
    assert guarantee.says == says and guarantee.missing == tuple(facts["missing"])
    assert (guarantee.sense, guarantee.every_request) == (facts["compared"], facts["uniform"])
    assert guarantee.from_training == facts["looks_back"] and len(guarantee.assumptions) == len(facts["assumptions"])


def test_a_certificate_of_the_first_version_is_read():
    account = {"total": None, "ratios": [None], "pairs": [], "failures": 0.0, "before": None}
    budget = {"epsilon": 1.0, "delta": 1e-5, "distance": None, "sigma": None, "calibration": "analytic"}
    held = {"verdict": "VACUOUS", "method": "m", "bound": 6.0, "trivial_bound": 6.0, "sigma": 22.0, "epsilon": 1.0}
    held |= {"budget": budget, "account": account, "parameter_norm": 3.0, "dimension": 4}
    certificate = certificate_of(FLAT | {"certificate": held})
    assert certificate.guarantee.says == cu.Distance(6.0) and certificate.account.ratios == (math.inf,)
    assert str(certificate).startswith("VACUOUS: m, ")
    held |= {"bound": None, "trivial_bound": None}
    certificate = certificate_of(FLAT | {"certificate": held})
    assert certificate.guarantee.says is None and certificate.ceiling == math.inf


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"bound": float("inf"), "radius": 1.0},
        {"bound": 1.0, "nothing": 3.0},
        {"noise": 9.0, "bound": 1.0},
        {"noise": 2.0},
    ],
)
@pytest.mark.parametrize("pairs", [(), ((0.5, 1e-3), (0.9, 1e-6))])
def test_what_is_written_now_is_read_back(facts, pairs):
    facts = facts | {"noise": 2.0} if pairs else facts
    update = claimed({"w": jnp.ones(3)}, pairs=pairs, assumptions=(cu.Assumption("C", 2.0, "proved"),), **facts)
    certificate = cu.certify(update, cu.Budget(epsilon=5.0, delta=1e-5)).certificate
    kept = disk.as_json({"guarantee": noted(update.guarantee), "certificate": noted(certificate)})
    assert guarantee_of(kept) == update.guarantee and certificate_of(kept) == certificate


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *(("reference", "r"), ("compared", "retraining"), ("uniform", True), ("looks_back", False), ("noise", 0.0)),
        *(("nothing", 3.0), ("exact", False), ("profile", ()), ("assumptions", ()), ("missing", ())),
        ("failure_probability", 0.0),
    ],
)
def test_names_of_the_first_version_answer_with_a_warning(old, new):
    update = claimed({"w": jnp.ones(3)}, bound=1.0, nothing=3.0, every_request=True)
    certificate = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5)).certificate
    for owner in (update, certificate):
        with pytest.warns(DeprecationWarning, match=rf"{old} is (update|certificate)\.guarantee\."):
            assert getattr(owner, old) == new
        assert owner.bound == 1.0 and owner.unchecked == ()
        with pytest.raises(AttributeError, match="no attribute 'absent'"):
            owner.absent  # noqa: B018
    with pytest.warns(DeprecationWarning, match="ceiling"):
        assert certificate.trivial_bound == math.inf


def test_a_certificate_still_says_whether_the_noise_is_the_methods_own():
    noisy = claimed({"w": jnp.ones(3)}, pairs=((0.1, 1e-6),), noise=2.0)
    for update, own, profiled in ((noisy, True, True), (claimed({"w": jnp.ones(3)}, bound=1.0), False, False)):
        certificate = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5)).certificate
        for name, value in (("own_noise", own), ("profiled", profiled)):
            with pytest.warns(DeprecationWarning, match=f"certificate.{name} is "):
                assert getattr(certificate, name) is value


def test_a_budget_of_the_first_version_is_read():
    """A calibration had no effect beside a fixed sigma, and was taken."""
    account = {"total": None, "ratios": [0.1], "pairs": [], "failures": 0.0, "before": None}
    budget = {"epsilon": 0.5, "delta": 1e-5, "distance": None, "sigma": 9.0, "calibration": "classical"}
    held = {"verdict": "CONDITIONAL", "method": "m", "bound": 0.9, "trivial_bound": None, "sigma": 9.0, "epsilon": 0.5}
    held |= {"budget": budget, "account": account, "parameter_norm": 3.0, "dimension": 4}
    assert certificate_of(FLAT | {"bound": 0.9, "certificate": held}).budget == cu.Budget(
        epsilon=0.5, delta=1e-5, sigma=9.0
    )


def test_a_statement_of_a_kind_that_is_not_known_is_refused_in_one_sentence():
    facts = {"guarantee": noted(cu.Guarantee(says=cu.Distance(1.0), reference="r"))}
    facts["guarantee"]["says"]["kind"] = "rumour"
    with pytest.raises(cu.BadInput, match="kind must be one of distance, own_noise, pairs, got 'rumour'"):
        guarantee_of(facts)
