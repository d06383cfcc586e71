"""Theorems are anybody's: applied to a run, a request and parameters, they give a guarantee that certify takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.bounds import theorems
from tests.cases import KEY, classes, ridge, trained, vector

IDS = np.array([3, 8])
DESCENT = {"steps": 3, "rate": 0.1, "start": "gradient", "slope": 1.0, "largest": 1.0}
NOISY = {"start": "ball", "noise": 1.0, "steps": 3, "slots": 4, "rate": 0.1, "radius": 1.0, "assumed": "linear",
         "spacing": 2.0**-20}  # fmt: skip


@pytest.fixture(scope="module")
def run():
    problem = cu.classification(cu.models.Linear(classes=3, bound=1.0, dtype=jnp.float64), classes())
    return trained(problem, weight_decay=0.1)


def everyone(run, ids):
    return ~np.asarray(run.retained(run.check(ids)))


def test_a_request_and_everyone_gone_say_the_same(run):
    earlier = run.minus(np.array([5]), run.params)
    for theorem in (
        lambda run, gone: theorems.residual(run, gone, run.params),
        lambda run, gone: theorems.hessian_free(run, gone, run.params, assumed="linear"),
        lambda run, gone: theorems.rewind(run, gone, steps=2, assumed="linear"),
    ):
        both = theorem(earlier, everyone(earlier, IDS))
        assert theorem(earlier, IDS) == both == theorem(run, everyone(earlier, IDS))
        assert both.bound != theorem(run, IDS).bound
    with pytest.raises(cu.BadInput):
        theorems.residual(run, [999], run.params)
    for mask in (everyone(run, IDS), everyone(earlier, IDS)[:7]):  # of one who is gone already it says she is there
        with pytest.raises(cu.BadInput, match="all examples forgotten since training"):
            theorems.residual(earlier, mask, run.params)


def test_anybodys_update_is_certified_by_a_theorem_and_lies_within_it(run):
    """Parameters made by hand: what training left, moved a little."""
    params = jax.tree.map(lambda w: w + 1e-4, run.params)
    truth = vector(cu.Retrain().forget(run, None, IDS, KEY).params)
    polish = cu.Newton(damping=0.0, solver=cu.Dense(), gradient="retained", steps=8)
    minimiser = vector(polish.forget(run, None, IDS, KEY).params)
    for guarantee, reference in (
        (theorems.residual(run, IDS, params), minimiser),
        (theorems.hessian_free(run, IDS, params, assumed="linear"), truth),
    ):
        assert np.linalg.norm(vector(params) - reference) <= guarantee.bound
        assert all(a.status == "proved" for a in guarantee.assumptions)
        update = cu.Update(params=params, method="by hand", guarantee=guarantee)
        budget = cu.Budget(epsilon=1.0, delta=1e-5, distance=2 * guarantee.bound)
        certificate = cu.certify(update, budget, cu.secret_key()).certificate
        assert certificate.bound == guarantee.bound and str(certificate).split(":")[0] in ("PROVED", "VACUOUS")


def test_what_the_model_leaves_unchecked_is_in_every_guarantee():
    data = cu.Dataset(classes().x, classes().y, unchecked=("statistics",))
    run = trained(cu.classification(cu.models.Linear(classes=3, bound=1.0, dtype=jnp.float64), data), weight_decay=0.1)
    facts = {"radius": 1.0, "noise": 0.5, "steps": 3, "spacing": 2.0**-21}
    for guarantee in (
        theorems.residual(run, IDS, run.params),
        theorems.hessian_free(run, IDS, run.params, assumed="linear"),
        theorems.rewind(run, IDS, steps=2, assumed="linear"),
        theorems.rewind(run, IDS, steps=2, assumed=None),
        theorems.clipped_models(run, **facts),
        theorems.clipped_gradients(run, clip_norm=1.0, rate=0.1, weight_decay=0.0, **facts),
        theorems.noisy_sgd(run, IDS, start="ball", slots=4, rate=0.1, assumed="linear", **facts),
        theorems.descent(run, IDS, assumed="linear", steps=3, rate=0.1, start="gradient", slope=1.0, largest=1.0),
    ):
        assert guarantee.unchecked == ("statistics",)


def test_a_theorem_that_does_not_hold_says_what_it_lacks():
    guarantee = theorems.hessian_free(trained(ridge()), IDS, None, assumed=None)
    assert guarantee.says is None and "assumed=HessianFreeConstants" in guarantee.missing[0]
    with pytest.raises(cu.BadInput, match="closed form"):
        theorems.residual(trained(ridge()), IDS, None)


@pytest.mark.parametrize(
    ("theorem", "sentence"),
    [
        (lambda run: theorems.descent(run, IDS, assumed=None, **DESCENT), "the theorem rests on them"),
        (lambda run: theorems.descent(run, IDS, assumed="linear", **DESCENT | {"start": "x"}), "start must be one of"),
        (lambda run: theorems.noisy_sgd(run, IDS, **NOISY | {"start": "x"}), "start must be one of"),
        (lambda run: theorems.noisy_sgd(run, IDS, **NOISY | {"noise": 0.0}), "noise must be"),
        (lambda run: theorems.clipped_models(run, radius=1.0, noise=0.0, steps=3, spacing=1.0), "noise must be"),
        (lambda run: theorems.clipped_gradients(run, radius=0.0, clip_norm=1.0, noise=1.0, steps=3, rate=0.1,
                                                weight_decay=0.0, spacing=1.0), "radius must be"),
    ],
)  # fmt: skip
def test_what_a_theorem_cannot_take_is_one_sentence(run, theorem, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        theorem(run)
