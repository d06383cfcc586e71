"""Where a Hessian-free update carries a proved distance, and that retraining keeps it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import certunl as cu
from certunl.bounds import HessianFreeConstants, hessian_free_constants, measured_contractions
from certunl.bounds.theorems.hessian_free import of_vector
from tests.bounds.test_hessian_free_constants import linear
from tests.cases import KEY, network, trained, vector

IDS = [2, 5, 11]


def gone(run, ids=IDS):
    return np.isin(np.arange(len(run.problem.data)), ids)


def facts(guarantee):
    return {a.symbol: a for a in guarantee.assumptions}


TARGETS = {
    "fixed denominator": {"weight_decay": 0.3},
    "regulariser in the loss": {"l2": 0.3},
    "mean of the remaining": {"weight_decay": 0.3, "denominator": "retained"},
    "poisson": {"weight_decay": 0.3, "batches": "poisson"},
    "least squares": {"kind": "least squares", "weight_decay": 0.3},
}


@pytest.mark.parametrize("target", TARGETS)
def test_retraining_lies_within_both_distances(target):
    run = linear(**TARGETS[target], learning_rate=0.3)
    norm, ratios = np.linalg.norm, []
    for ids in ([4], IDS, list(range(12)), np.unique(run.schedule.indices[0])):
        update = cu.HessianFree().forget(run, None, ids, KEY).params
        truth = vector(cu.Retrain().forget(run, None, ids, KEY).params)
        known = of_vector(run, gone(run, ids), assumed="linear", form="first_order", capacity=None)
        assert norm(vector(update) - truth) <= known.bound
        ratios.append(norm(vector(update) - truth) / known.bound)
        assert norm(vector(run.params) - truth) <= facts(known)["D_T"].value
        everyone = of_vector(run, gone(run, ids), assumed="linear", form="first_order", capacity=len(ids) + 1)
        assert known.bound < everyone.bound
        retained = of_vector(run, gone(run, ids), assumed="linear", form="retained", capacity=None)
        assert retained.bound < known.bound
    assert max(ratios) > 0.02


def test_a_bound_in_closed_form_is_proved_where_the_budget_fixed_the_distance_and_conditional_where_not():
    run = linear(weight_decay=0.5, learning_rate=0.1)
    known = of_vector(run, gone(run), assumed="linear", form="first_order", capacity=3)
    assert {a.status for a in known.assumptions} == {"proved"} and not known.every_request
    assert facts(known)["m"].value == 3
    method = cu.HessianFree(assumed="linear", capacity=3)
    update = method.forget(run, None, IDS, KEY)
    assert (
        update.bound == pytest.approx(1.001 * known.bound)
        and update.guarantee.doing_nothing == facts(known)["D_T"].value
    )
    fixed = cu.Budget(epsilon=1.0, delta=1e-5, distance=2 * known.bound)
    for budget, verdict in ((fixed, "PROVED"), (cu.Budget(epsilon=1.0, delta=1e-5), "CONDITIONAL")):
        assert cu.certify(update, budget).certificate.verdict == verdict
    with pytest.raises(cu.BadInput, match="3 examples are forgotten, more than the capacity of 2"):
        of_vector(run, gone(run), assumed="linear", form="first_order", capacity=2)


def test_inputs_bounded_by_the_model_make_noise_that_does_not_depend_on_the_data():
    rng, found = np.random.default_rng(0), []
    method, model = cu.HessianFree(assumed="linear", capacity=3), cu.models.Linear(3, dtype=jnp.float64, bound=1.0)
    x, y = rng.normal(size=(30, 4)), rng.integers(0, 3, 30)
    for scale in (0.1, 1.0, 50.0):
        run = trained(cu.classification(model, cu.Dataset(scale * x, y)), weight_decay=0.5)
        update = method.forget(run, method.prepare(run), IDS, KEY)
        truth = cu.Retrain().forget(run, None, IDS, KEY).params
        assert np.linalg.norm(vector(update.params) - vector(truth)) <= update.bound
        found.append(update.bound)
        certificate = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5)).certificate
        assert certificate.verdict == "PROVED"
    assert found[0] == found[1] == found[2]
    inside = x / np.linalg.norm(x, axis=1, keepdims=True)
    params = model.init(KEY, x)
    np.testing.assert_allclose(model.apply(params, 50 * inside), model.apply(params, inside), rtol=1e-12)
    free = cu.models.Linear(3, dtype=jnp.float64)
    np.testing.assert_allclose(model.apply(params, 0.5 * inside), free.apply(params, 0.5 * inside), rtol=1e-14)
    with pytest.raises(cu.BadInput, match="positive number"):
        cu.classification(cu.models.Linear(3, bound=-1.0), cu.Dataset(x, y))


def test_a_subclass_that_computes_something_else_has_no_closed_form():
    class Mine(cu.models.Linear):
        pass

    run = linear(weight_decay=0.5)
    problem = cu.classification(Mine(classes=3, dtype=jnp.float64), run.problem.data)
    other = trained(problem, weight_decay=0.5)
    for method in (cu.HessianFree(assumed="linear"), cu.Newton(assumed="linear", damping=0.1)):
        with pytest.raises(cu.BadInput, match="closed form"):
            method.forget(other, None, [1], KEY)


def test_a_bound_above_that_of_doing_nothing_is_vacuous():
    run = linear(weight_decay=0.001, learning_rate=0.5, epochs=30)
    update = cu.HessianFree(assumed="linear").forget(run, None, list(range(12)), KEY)
    assert update.bound > update.guarantee.doing_nothing
    assert cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5)).certificate.verdict == "VACUOUS"


def test_an_update_that_is_not_what_the_theorem_speaks_of_pays_for_the_difference():
    run, method = linear(weight_decay=0.5, learning_rate=0.1), cu.HessianFree(assumed="linear")
    moved = jax.tree.map(lambda p: p + 0.01, run.params)
    right, wrong = (method.forget(r, None, IDS, KEY) for r in (run, run.replace(params=moved)))
    off = np.linalg.norm(vector(moved) - vector(run.params))
    assert wrong.bound == pytest.approx(right.bound + off, rel=1e-6)
    promised = cu.HessianFree(assumed="linear", capacity=3).forget(run.replace(params=moved), None, IDS, KEY)
    assert promised.bound == pytest.approx(wrong.bound)
    truth = cu.Retrain().forget(run, None, IDS, KEY).params
    state = run.minus([2], cu.Newton().forget(run, None, [2], KEY).params)  # a line that another method began
    mixed = method.forget(state, None, [5, 11], KEY)
    assert np.linalg.norm(vector(mixed.params) - vector(truth)) <= mixed.bound
    rows = cu.HessianFree(assumed="linear", form="retained")
    summed = rows.forget(run, rows.prepare(run), IDS, KEY)  # the theorem's vector leaves the curvature of all three out
    assert np.linalg.norm(vector(summed.params) - vector(truth)) <= summed.bound
    assert summed.bound > rows.forget(run, None, IDS, KEY).bound


def test_the_bound_for_every_request_does_not_depend_on_who_asks():
    run = linear(weight_decay=0.5, learning_rate=0.1)
    bounds = {
        of_vector(run, gone(run, ids), assumed="linear", form="first_order", capacity=3).bound
        for ids in ([1], IDS, [7, 8, 29])
    }
    assert len(bounds) == 1


def test_everyone_gone_since_training_counts_and_a_slot_of_padding_does_not():
    run = linear(weight_decay=0.5, batch_size=7, batches="fixed")
    first, both = (
        of_vector(run, gone(run, ids), assumed="linear", form="first_order", capacity=None) for ids in ([3], [3, 0])
    )
    assert first.bound < both.bound
    assert not np.asarray(run.schedule.weights).all()
    empty = of_vector(run, gone(run, []), assumed="linear", form="first_order", capacity=None)
    assert empty.bound < 1e-11 and facts(empty)["D_T"].value < 1e-11


def test_there_is_no_theorem_for_other_recipes_weights_and_unbounded_growth():
    run, asked = linear(weight_decay=0.5), gone(linear())
    for recipe in (
        {"optimizer": "momentum"},
        {"optimizer": optax.sgd(1.0)},
        {"clip_norm": 5.0},
        {"radius": 50.0},
    ):
        held = of_vector(
            run.replace(recipe=cu.Recipe(**recipe)), asked, assumed="linear", form="first_order", capacity=None
        )
        assert held.says is None and "plain SGD" in held.missing[0]
    for schedule, why in (
        (run.schedule.replace(weights=run.schedule.weights * 2), "weights of 0 and 1"),
        (run.schedule.replace(rates=-run.schedule.rates), "plain SGD"),
        (run.schedule.replace(rates=jnp.full_like(run.schedule.rates, 1e60)), "finite bound"),
    ):
        held = of_vector(run.replace(schedule=schedule), asked, assumed="linear", form="first_order", capacity=None)
        assert held.says is None and why in held.missing[0]
    with pytest.raises(cu.BadInput, match='"linear" or None, got'):
        of_vector(run, asked, assumed="closed", form="first_order", capacity=None)


def test_a_user_s_constants_are_never_called_proved_and_measured_ones_are_called_estimated():
    run = trained(network(), weight_decay=0.1)
    asked = gone(run)
    measured = [measured_contractions(run, KEY, gone=g) for g in (None, asked)]
    constants = HessianFreeConstants(
        gradient_bound=3.0,
        smoothness=5.0,
        hessian_lipschitz=2.0,
        contraction=measured[0],
        retained_contraction=measured[1],
        estimated=("contraction", "retained_contraction"),
    )
    known = of_vector(run, asked, assumed=constants, form="first_order", capacity=None)
    said = {symbol: a.status for symbol, a in facts(known).items()}
    assert said == {
        "beta": "given", "M": "given", "G": "given", "rho": "estimated", "rounding": "estimated", "D_T": "estimated",
    }  # fmt: skip
    assert facts(known)["rho"].value == max(measured[0].max(), measured[1].max())
    closed = hessian_free_constants(linear(weight_decay=0.1))
    borrowed = of_vector(run, asked, assumed=closed, form="first_order", capacity=None)
    assert "proved" not in {a.status for a in borrowed.assumptions}


def test_the_bound_counts_rounding_in_float32():
    single, double = (
        linear(weight_decay=0.5, learning_rate=0.2, epochs=20, dtype=d) for d in (jnp.float32, jnp.float64)
    )
    asked = gone(single, [4])
    update = vector(cu.HessianFree().forget(single, None, [4], KEY).params)
    truth = vector(cu.Retrain().forget(single, None, [4], KEY).params)
    bounds = [
        of_vector(run, asked, assumed="linear", form="first_order", capacity=None).bound for run in (single, double)
    ]
    assert np.linalg.norm(update - truth) <= bounds[0]
    assert bounds[0] > bounds[1] + 20 * jnp.finfo(jnp.float32).eps
    one_step = jax.tree.map(lambda a: a[:1], single.schedule)
    rounded, exact = (
        vector(cu.fit(run.problem, run.recipe, jax.tree.map(lambda a, t=t: a.astype(t), single.start), one_step).params)
        for run, t in ((single, jnp.float32), (double, jnp.float64))
    )
    known = hessian_free_constants(single)
    assert 0 < np.linalg.norm(rounded - exact) < known.rounding
