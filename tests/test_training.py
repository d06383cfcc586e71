"""The loop against hand-written loops and optax; schedules; bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import certunl as cu
from certunl.training.drawing import draw
from tests.cases import KEY, classes, gap, network, ridge, trained, vector


def by_optax(run, transform):
    """The same schedule through optax's own optimizer, step by step."""
    params, state = run.start, transform.init(run.start)
    for rows, weights, _, size in zip(*run.schedule.arrays().values(), strict=True):
        grads = jax.grad(run.problem.risk)(params, run.problem.data[rows], weights / size)
        updates, state = transform.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize(
    ("recipe", "transform"),
    [
        ({}, optax.sgd(0.1)),
        ({"optimizer": "momentum"}, optax.sgd(0.1, momentum=0.9)),
        ({"optimizer": "adam"}, optax.adam(0.1, eps_root=1e-16)),
        ({"clip_norm": 0.5}, optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.1))),
        ({"optimizer": "adam", "weight_decay": 0.3}, optax.chain(optax.add_decayed_weights(0.3), optax.adam(0.1))),
        ({"optimizer": optax.sgd(1.0)}, optax.sgd(0.1)),
        ({"optimizer": optax.scale_by_rms()}, optax.chain(optax.scale_by_rms(), optax.scale(-0.1))),
    ],
)
def test_every_optimizer_does_what_optax_does(recipe, transform):
    run = trained(ridge(), **recipe)
    assert gap(run.params, by_optax(run, transform)) < 1e-9


def test_projection_keeps_every_step_in_the_ball_and_is_the_identity_inside():
    run = trained(ridge(), radius=0.3)
    assert np.linalg.norm(run.params["w"]) == pytest.approx(0.3)
    assert (vector(trained(ridge(), radius=1e3).params) == vector(trained(ridge()).params)).all()


def test_initial_parameters_outside_the_ball_are_reported(caplog):
    trained(ridge(), radius=0.7)
    assert "outside the ball of radius 0.7" in caplog.text
    caplog.clear()
    trained(ridge(), radius=1e3)
    assert not caplog.text


def test_rates_decay_by_step():
    schedule = draw(KEY, cu.Recipe(learning_rate=0.2, decay=0.9, epochs=2, batch_size=4), 10)
    np.testing.assert_allclose(schedule.rates, 0.2 * 0.9 ** np.arange(6))


@pytest.mark.parametrize(("batches", "sizes"), [("equal", {33, 34}), ("fixed", {40, 20})])
def test_each_epoch_visits_every_example_once_and_the_ragged_rest_is_masked(batches, sizes):
    schedule = draw(KEY, cu.Recipe(epochs=3, batch_size=40, batches=batches), 100)
    assert schedule.indices.shape == (9, 40)
    weighted = np.asarray(schedule.weights) != 0
    assert set(weighted.sum(1).tolist()) == sizes
    np.testing.assert_array_equal(schedule.divisors, weighted.sum(1))
    orders = [np.asarray(schedule.indices[e : e + 3])[weighted[e : e + 3]] for e in (0, 3, 6)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(100))
    assert orders[0].tolist() != orders[1].tolist()


def test_poisson_batches_have_a_fixed_divisor_and_the_right_rate():
    schedule = draw(KEY, cu.Recipe(epochs=200, batch_size=10, batches="poisson"), 50)
    assert set(schedule.divisors.tolist()) == {10.0}
    weighted = np.asarray(schedule.weights) != 0
    counts = np.bincount(np.asarray(schedule.indices)[weighted], minlength=50)
    assert abs(weighted.sum(1).mean() - 10) < 5 * np.sqrt(8 / 1000)
    assert abs(counts.mean() - 200) < 5 * np.sqrt(160 / 50) and counts.std() < 20
    assert all(
        len(set(row[kept])) == kept.sum()
        for row, kept in zip(schedule.indices.tolist(), weighted, strict=True)
        for row in [np.asarray(row)]
    )
    with pytest.raises(cu.BadInput, match="Poisson"):
        cu.Recipe(batches="poisson", denominator="retained")


def test_without_keeps_shapes_and_divisors():
    schedule = draw(KEY, cu.Recipe(epochs=1, batch_size=4), 10)
    masked = schedule.without(np.array([3, 7]))
    assert float(schedule.weights.sum() - masked.weights.sum()) == 2
    np.testing.assert_array_equal(masked.divisors, schedule.divisors)
    assert not np.isin(np.asarray(masked.indices)[np.asarray(masked.weights) != 0], [3, 7]).any()


def test_a_loss_that_becomes_nan_stops_with_a_sentence():
    with pytest.raises(cu.Diverged, match=r"NaN or infinite at step \d+ of 9 .*lower the learning rate"):
        trained(ridge(), learning_rate=1e200)


def test_float32_stays_float32():
    data = classes()
    small = cu.Dataset(data.x.astype(np.float32), data.y)
    run = trained(cu.classification(cu.models.MLP(hidden=(4,), classes=3), small), optimizer="adam", radius=9.0)
    rows = cu.HessianFree().prepare(run).rows
    assert {leaf.dtype for leaf in jax.tree.leaves((run.params, rows))} == {jnp.dtype("float32")}


def test_progress_is_told_from_inside_the_program():
    heard = []
    cu.train(ridge(), cu.Recipe(epochs=4), KEY, progress=lambda done, total: heard.append((done, total)))
    jax.effects_barrier()
    assert sorted(heard)[-1] == (4, 4)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "lion"},
        {"optimizer": 3},
        {"learning_rate": 0.0},
        {"learning_rate": "fast"},
        {"decay": -1.0},
        {"weight_decay": -0.1},
        {"epochs": 0},
        {"batch_size": 2.5},
        {"radius": 0.0},
        {"clip_norm": float("nan")},
        {"denominator": "n"},
        {"batches": "sorted"},
    ],
)
def test_impossible_recipes_are_refused(settings):
    with pytest.raises(cu.BadInput):
        cu.Recipe(**settings)


def test_unusable_data_losses_and_schedules_are_refused():
    problem = ridge()
    x = np.array(problem.data.x)
    x[3, 1] = np.nan
    with pytest.raises(cu.BadInput, match=r"x of the data holds NaN or infinity in 1 of 24 examples \(first: 3\)"):
        trained(cu.Problem(init=problem.init, losses=problem.losses, data=cu.Dataset(x, problem.data.y)))
    with pytest.raises(cu.BadInput, match="one row per example"):
        trained(cu.Problem(init=problem.init, losses=problem.losses, data=cu.Dataset(x[:5], problem.data.y)))
    with pytest.raises(cu.BadInput, match="one loss per example"):
        trained(cu.Problem(init=problem.init, losses=lambda p, b: problem.losses(p, b).mean(), data=problem.data))
    start = problem.init(KEY)
    for indices, weights, rates in (
        (np.array([[24]]), np.ones((1, 1)), np.ones(1)),
        (np.array([[0]]), np.ones((1, 2)), np.ones(1)),
        (np.array([[0]]), np.ones((1, 1)), np.ones(2)),
        (np.array([[0]]), np.ones((1, 1)), np.array([np.nan])),
    ):
        with pytest.raises(cu.BadInput):
            cu.fit(problem, cu.Recipe(), start, cu.Schedule(indices.astype(np.int32), weights, rates))


def test_equal_settings_share_one_program():
    from certunl.timing import Stopwatch

    trained(network(), seed=1)
    with Stopwatch() as watch:
        run = trained(network(), seed=2)
        cu.Retrain()
        jax.block_until_ready(run.params)
    assert watch.compilations == 0, watch.compile_seconds


def test_nouns_that_hold_arrays_are_printed_in_a_line_or_two():
    run = trained(network(), radius=20.0)
    update = cu.HessianFree().forget(run, None, [1, 2], KEY)
    after = run.minus([1, 2], update.params)
    recipe = "Recipe(learning_rate=0.1, epochs=3, batch_size=8, radius=20.0)"
    assert repr(run) == f"Run(MLP of 51 parameters, 30 examples, 12 steps,\n    {recipe})"
    assert "30 examples (2 forgotten), 12 steps" in repr(after)
    assert str(cu.adopt(run.problem, run.params)).startswith("Run(MLP of 51 parameters, 30 examples, adopted without")
    assert repr(trained(ridge())).startswith("Run(_Squares of 5 parameters, 24 examples, 9 steps")
    assert repr(update).startswith("Update(hessian_free, 51 parameters, no bound, ")
    release = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5), trivial=True)
    of_noise = f"sigma {release.certificate.sigma:.4g}, epsilon 1 at delta 1e-05"
    assert repr(release) == f"Release(VACUOUS: hessian_free, 51 parameters, {of_noise})"
    assert repr(jax.eval_shape(lambda run: run, run)) == repr(run)  # no values are needed
    lines = []
    jax.jit(lambda run: lines.append(repr(run)))(run)
    assert lines == [repr(run)]
    assert "Run(MLP" in repr(jax.tree.map(lambda leaf: None, run))
