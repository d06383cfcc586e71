"""Statistics are the derivative of training: exact answers, then properties, then a naive loop."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import certunl as cu
from certunl.training.loop import follow
from tests.cases import KEY, classes, gap, network, ridge, trained, vector

RECIPES = {
    "sgd": {},
    "decay": {"decay": 0.97, "weight_decay": 0.05},
    "retained": {"denominator": "retained", "weight_decay": 0.05},
    "momentum": {"optimizer": "momentum", "learning_rate": 0.03},
    "adam": {"optimizer": "adam", "learning_rate": 0.01},
    "clip": {"clip_norm": 0.3},
    "projection": {"radius": 2.0},
    "everything": {"optimizer": "adam", "learning_rate": 0.02, "clip_norm": 0.5, "radius": 2.5, "weight_decay": 0.1},
    "poisson": {"batches": "poisson"},
    "optax": {"optimizer": optax.scale_by_rms(eps=1e-3), "learning_rate": 0.01},
}


@pytest.fixture(scope="module", params=RECIPES)
def run(request):
    return trained(network(), **RECIPES[request.param])


def derivative(run, ids):
    """−d(final parameters)/d(weight of ids), by jax.jvp through the whole loop."""
    asked = jnp.isin(run.schedule.indices, jnp.asarray(ids)) & (run.schedule.weights != 0)

    def final(scale):
        if run.recipe.denominator == "retained":  # weights act on the sum and on the count alike
            counts = jnp.sum(run.schedule.weights * jnp.where(asked, scale, 1), axis=1)
            recipe = cu.Recipe(learning_rate=0.1, epochs=3, batch_size=8, weight_decay=0.05)
        else:
            counts, recipe = run.schedule.divisors, run.recipe
        weights = run.schedule.weights * jnp.where(asked, scale, 1)
        schedule = cu.Schedule(run.schedule.indices, weights, run.schedule.rates, counts)
        return follow(run.problem, recipe, run.start, schedule)[0]

    return jax.jvp(final, (1.0,), (-1.0,))[1]


def test_the_correction_of_one_example_after_one_epoch_of_ridge_regression_is_true_retraining():
    run = trained(ridge(), epochs=1, weight_decay=0.3)
    for unit in (0, 11, 23):
        update = cu.HessianFree().forget(run, cu.HessianFree().prepare(run), [unit], KEY)
        truth = cu.Retrain().forget(run, None, [unit], KEY)
        assert gap(update.params, truth.params) < 1e-12
        assert gap(run.params, truth.params) > 1e-5


def test_rows_are_the_derivative_of_the_whole_loop(run):
    prepared = cu.HessianFree().prepare(run)
    for ids in ([4], [0, 7, 19, 22]):
        assert gap(prepared.correction(ids), derivative(run, ids)) < 1e-9


def test_one_vector_for_a_known_request_is_the_sum_of_the_rows(run):
    prepared, ids = cu.HessianFree().prepare(run), [3, 9, 27]
    single = cu.HessianFree().forget(run, None, ids, KEY)
    stored = cu.HessianFree().forget(run, prepared, ids, KEY)
    np.testing.assert_allclose(vector(single.params), vector(stored.params), rtol=1e-11, atol=1e-13)


def test_requests_one_by_one_equal_one_request_of_all():
    run = trained(network())
    method = cu.HessianFree()
    prepared = method.prepare(run)
    state = run
    for ids in ([5], [2, 8], [29]):
        state = state.minus(ids, method.forget(state, prepared, ids, KEY).params)
    together = method.forget(run, prepared, [2, 5, 8, 29], KEY)
    np.testing.assert_allclose(vector(state.params), vector(together.params), rtol=1e-12, atol=1e-14)


def test_a_single_vector_for_a_second_request_does_not_count_the_first_again():
    run = trained(network())
    method, prepared = cu.HessianFree(), cu.HessianFree().prepare(run)
    after = run.minus([5], method.forget(run, prepared, [5], KEY).params)
    single, stored = (method.forget(after, p, [2, 8], KEY) for p in (None, prepared))
    np.testing.assert_allclose(vector(single.params), vector(stored.params), rtol=1e-11, atol=1e-13)


def test_the_radius_does_not_break_additivity_but_releases_stay_in_the_ball():
    run = trained(network(), radius=1.5)
    method = cu.HessianFree()
    prepared, ids = method.prepare(run), list(range(12))
    update = method.forget(run, prepared, ids, KEY)
    expected = vector(run.params) + sum(vector(prepared.correction([u])) for u in ids)
    np.testing.assert_allclose(vector(update.params), expected, rtol=1e-12, atol=1e-14)
    assert np.linalg.norm(vector(update.projected())) <= 1.5 * (1 + 1e-12)


def test_rows_of_owners_are_sums_of_their_examples_rows():
    owners = np.arange(30) % 7 + 100
    run, plain = trained(network(owners=owners)), trained(network())
    grouped, single = cu.HessianFree().prepare(run), cu.HessianFree().prepare(plain)
    assert grouped.units.tolist() == list(range(100, 107))
    ids = cu.requests.by_owner(run, [101, 104])
    assert gap(grouped.correction(ids), single.correction(ids)) < 1e-12
    with pytest.raises(cu.BadInput, match="part of owner 101"):
        grouped.correction(ids[1:])


def test_chunks_and_subsets_do_not_change_a_row():
    run = trained(network())
    whole = cu.HessianFree().prepare(run)
    for method in (cu.HessianFree(gather=cu.Forward(7)), cu.HessianFree(units=(3, 28), gather=cu.Forward(1))):
        prepared = method.prepare(run)
        assert gap(prepared.correction([28]), whole.correction([28])) < 1e-12
    with pytest.raises(cu.BadInput, match="no statistics were prepared for unit 4"):
        prepared.correction([3, 4])


def test_a_padded_slot_and_a_weight_of_zero_inject_nothing():
    problem = network()
    indices = np.array([[0, 1, 2, 5], [3, 4, 5, 5]], np.int32)
    weights = np.array([[1.0, 1, 1, 0], [1, 1, 0, 0]])
    run = cu.fit(problem, cu.Recipe(), problem.init(KEY), cu.Schedule(indices, weights, np.array([0.1, 0.1])))
    assert run.schedule.divisors.tolist() == [3, 2]
    assert not vector(cu.HessianFree().prepare(run).correction([5])).any()


def test_weights_of_any_size_scale_what_is_injected():
    problem = ridge()
    indices = np.arange(24, dtype=np.int32).reshape(3, 8)
    weights = np.random.default_rng(0).normal(size=(3, 8)) + 2
    run = cu.fit(problem, cu.Recipe(), problem.init(KEY), cu.Schedule(indices, weights, np.full(3, 0.1)))
    update, truth = (method.forget(run, None, [9], KEY) for method in (cu.HessianFree(), cu.Retrain()))
    assert gap(update.params, truth.params) < 1e-12


def test_adam_has_finite_statistics_where_gradients_are_exactly_zero():
    data = classes()
    blank = cu.Dataset(np.hstack([data.x, np.zeros((30, 2))]), data.y)
    model = cu.models.MLP(hidden=(4,), classes=3, activation="relu", dtype=jnp.float64)
    run = trained(cu.classification(model, blank), optimizer="adam", learning_rate=0.01)
    assert np.isfinite(vector(cu.HessianFree().prepare(run).rows)).all()


def images(**settings):
    rng = np.random.default_rng(0)
    data = cu.Dataset(rng.normal(size=(30, 16, 16, 1)), rng.integers(0, 3, 30))
    return cu.classification(cu.models.CNN((2, 3), 4, 3, **settings, dtype=jnp.float64), data)


@pytest.mark.parametrize("problem", [network, images, lambda: images(activation="relu", pooling="max")])
def test_rows_equal_a_naive_loop_over_examples_and_steps(problem):
    run = trained(problem(), weight_decay=0.1, epochs=2)
    losses, data = run.problem.losses, run.problem.data

    @jax.jit
    def gradient(params, rows, weights):
        return jax.grad(lambda p: jnp.sum(weights * losses(p, data[rows])) + 0.05 * optax.tree.norm(p, squared=True))(
            params
        )

    @jax.jit
    def product(params, v, rows, weights):
        return jax.jvp(lambda p: gradient(p, rows, weights), (params,), (v,))[1]

    prepared = cu.HessianFree().prepare(run)
    for unit in (1, 17):
        params, a = run.start, jax.tree.map(jnp.zeros_like, run.start)
        for rows, weights, rate, size in zip(*run.schedule.arrays().values(), strict=True):
            injected = gradient(params, jnp.array([unit]), jnp.sum((rows == unit) * weights)[None] / size)
            injected = jax.tree.map(lambda g, p: g - 0.1 * p, injected, params)
            image = product(params, a, rows, weights / size)
            a = jax.tree.map(lambda a, h, g, rate=rate: a - rate * h + rate * g, a, image, injected)
            step = gradient(params, rows, weights / size)
            params = jax.tree.map(lambda p, g, rate=rate: p - rate * g, params, step)
        assert gap(params, run.params) < 1e-12
        assert gap(prepared.correction([unit]), a) < 1e-11


def test_the_error_falls_with_the_square_of_the_weight_taken_away():
    run = trained(network())
    row = vector(cu.HessianFree().prepare(run).correction([6]))
    errors = []
    for part in (0.2, 0.1, 0.05):
        weights = jnp.where(run.schedule.indices == 6, 1 - part, 1) * run.schedule.weights
        schedule = cu.Schedule(run.schedule.indices, weights, run.schedule.rates, run.schedule.divisors)
        truth = follow(run.problem, run.recipe, run.start, schedule)[0]
        errors.append(np.linalg.norm(vector(truth) - vector(run.params) - part * row))
    assert np.allclose(np.divide(errors[:-1], errors[1:]), 4, rtol=0.05)


def test_bad_units_are_refused():
    run = trained(network())
    with pytest.raises(cu.BadInput, match="there is no unit 30"):
        cu.HessianFree(units=(30,)).prepare(run)
    with pytest.raises(cu.BadInput, match="units is empty"):
        cu.HessianFree(units=())
    with pytest.raises(cu.BadInput, match="another run"):
        cu.HessianFree().forget(run, cu.HessianFree().prepare(trained(network(), seed=1)), [1], KEY)
    for settings in ({"units": (1.5,)}, {"units": "abc"}, {"chunk": 2.5}, {"chunk": 0}):
        with pytest.raises(cu.BadInput):
            cu.HessianFree(**settings)
    for wrong in ([], [-1], [30]):
        with pytest.raises(cu.BadInput):
            cu.HessianFree().prepare(run).correction(wrong)


def test_a_derivative_that_explodes_is_reported():
    problem = ridge()
    schedule = cu.Schedule(np.zeros((400, 1), np.int32), np.ones((400, 1)), np.full(400, 1e2))
    run = replace(trained(problem), schedule=schedule)
    with pytest.raises(cu.Diverged, match="learning rate"):
        cu.HessianFree(units=(0,)).prepare(run)
