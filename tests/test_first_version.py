"""Guarantees and certificates come back as they were written, and names of version 0.1 answer, with a warning."""

import math

import jax.numpy as jnp
import pytest

import certunl as cu
from certunl.folders._guarantees import certificate_of, guarantee_of, noted
from certunl.folders.json_files import as_json
from tests.cases import claimed


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
    kept = as_json({"guarantee": noted(update.guarantee), "certificate": noted(certificate)})
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


def test_a_statement_of_a_kind_that_is_not_known_is_refused_in_one_sentence():
    facts = {"guarantee": noted(cu.Guarantee(says=cu.Distance(1.0), reference="r"))}
    facts["guarantee"]["says"]["kind"] = "rumour"
    with pytest.raises(cu.BadInput, match="kind must be one of distance, own_noise, pairs, got 'rumour'"):
        guarantee_of(facts)
