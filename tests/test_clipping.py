"""Clipped sums of gradients, and steps of training with noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.certificates.noise import integers
from certunl.certificates.secret import expanded, spent
from certunl.training import noisy_gradient
from certunl.training.clipping import clipped_sum, margin
from certunl.training.noisy_gradient import noise_grid
from certunl.training.programs import values
from tests.cases import KEY, Dropping, classes, gap, network, vector
from tests.noisy import clipped, gradients_of, run_of


def test_a_clipped_sum_is_that_of_gradients_one_by_one():
    problem = network()
    params, ids = problem.init(KEY), np.arange(12)
    weights = jnp.asarray(ids % 4 != 1, float)
    each = gradients_of(problem, params, ids)
    for limit in (0.01, np.median(np.linalg.norm(each, axis=1)), 100.0):
        total, risk = clipped_sum(problem, params, problem.data[ids], weights, float(limit))
        summed = jax.tree.map(lambda a: a[0], total)
        assert np.allclose(vector(summed), clipped(each, limit)[ids % 4 != 1].sum(0), atol=1e-12)
        halves, _ = clipped_sum(problem, params, problem.data[ids], weights, float(limit), 2)
        assert gap(jax.tree.map(lambda a: a.sum(0), halves), summed) < 1e-12
        first = clipped(each, limit)[:6][(ids % 4 != 1)[:6]].sum(0)
        assert np.allclose(vector(jax.tree.map(lambda a: a[0], halves)), first, atol=1e-12)
        assert np.isclose(risk, np.sum(problem.per_example(params, problem.data[ids]) * weights))


def test_an_example_without_a_finite_gradient_counts_as_nothing():
    x = np.ones((4, 3))
    x[2] = 1e200
    problem = cu.Problem(
        init=lambda key: {"w": jnp.ones(3)},
        losses=lambda p, batch: jnp.exp(batch.x @ p["w"]),
        data=cu.Dataset(x, np.zeros(4)),
    )
    total, _ = clipped_sum(problem, {"w": jnp.ones(3)}, problem.data[np.arange(4)], jnp.ones(4), 1.0)
    assert np.allclose(np.linalg.norm(vector(total)), 3.0)
    alone, _ = clipped_sum(problem, {"w": jnp.ones(3)}, problem.data[np.array([2])], jnp.ones(1), 1.0)
    assert vector(alone).tolist() == [0, 0, 0]


def test_no_term_of_a_float32_sum_is_longer_than_the_margin_says():
    with jax.enable_x64(False):
        problem = cu.classification(cu.models.MLP(hidden=(300,), classes=3), classes(20))
        params = problem.init(KEY)
        for i in range(20):
            total, _ = clipped_sum(problem, params, problem.data[np.array([i])], jnp.ones(1), 0.125)
            assert np.linalg.norm(vector(total)) <= 0.125 * (1 + margin(params))
    assert 1e-5 < margin(params) < 1e-4


def test_a_gradient_of_tiny_and_huge_factors_is_clipped():
    with jax.enable_x64(False):
        x = np.full((3, 4), 1e15, np.float32)
        problem = cu.Problem(
            init=lambda key: {"w": jnp.zeros((4, 2))},
            losses=lambda p, batch: 1e-20 * jnp.sum((batch.x @ p["w"]), axis=1),
            data=cu.Dataset(x, np.zeros(3)),
        )
        total, _ = clipped_sum(problem, {"w": jnp.zeros((4, 2))}, problem.data[np.arange(1)], jnp.ones(1), 1e-6)
        assert np.isclose(np.linalg.norm(vector(total)), 1e-6, rtol=1e-4)


def test_leaves_of_every_kind_have_the_gradients_one_by_one():
    def losses(p, batch):
        hidden = jnp.tanh(batch.x @ p["used twice"]) * p["scalar"]
        return jnp.sum((hidden @ p["used twice"].T + p["once"].sum()) ** 2, axis=1) + jnp.sum(
            batch.x @ p["rows"], axis=1
        )

    shapes = {"used twice": (4, 4), "scalar": (), "once": (3,), "rows": (4, 2), "empty": (0, 3)}
    params = {name: jax.random.normal(KEY, shape) for name, shape in shapes.items()}
    problem = cu.Problem(init=lambda key: params, losses=losses, data=classes(10))
    ids = np.array([0, 3, 3, 7])
    total, _ = clipped_sum(problem, params, problem.data[ids], jnp.ones(4), 1.0)
    summed = vector(jax.tree.map(lambda a: a[0], total))
    assert np.allclose(summed, clipped(gradients_of(problem, params, ids), 1.0).sum(0), atol=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("batches", ["equal", "poisson"])
def test_a_training_is_that_of_a_loop_in_plain_arithmetic(optimizer, batches):
    run = run_of(optimizer=optimizer, batches=batches, radius=4.0, learning_rate=0.1)
    recipe, schedule, seed = run.recipe, run.schedule, spent(KEY)
    cell, d = noise_grid(recipe, schedule.indices.shape[1]), len(vector(run.start))
    leaves, tree = jax.tree.flatten(run.start)
    cuts = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def shaped(flat):
        return tree.unflatten([p.reshape(a.shape) for p, a in zip(np.split(flat, cuts), leaves, strict=True)])

    w, first, second = vector(run.start), np.zeros(d), np.zeros(d)
    limit = 0.5 / (1 + margin(run.start))
    for t in range(len(schedule)):
        ids = np.asarray(schedule.indices[t])[np.asarray(schedule.weights[t]) != 0]
        total = np.rint(clipped(gradients_of(run.problem, shaped(w), ids), limit).sum(0) / cell)
        noise = integers(expanded(seed, b"training step %d" % t, 32), np.zeros(d), 2.0 * 0.5 / cell)
        g = (total + noise) * cell / float(schedule.divisors[t]) + 0.01 * w
        first = {"sgd": g, "momentum": g + 0.9 * first, "adam": 0.1 * g + 0.9 * first}[optimizer]
        second = 0.001 * g**2 + 0.999 * second
        way = first
        if optimizer == "adam":
            way = first / (1 - 0.9 ** (t + 1)) / (np.sqrt(second / (1 - 0.999 ** (t + 1)) + 1e-16) + 1e-8)
        w = w - 0.1 * way
        w *= min(1, 4.0 / np.linalg.norm(w))
    assert np.linalg.norm(vector(run.params) - w) < 1e-6 * np.linalg.norm(w)


def test_each_example_of_a_batch_has_the_dropout_of_its_own_key():
    problem = cu.classification(Dropping(), classes(12), randomness=3)
    params, ids, number = problem.init(KEY), np.array([1, 5, 7, 9]), jnp.asarray(4)
    total, _ = clipped_sum(problem, params, problem.batch(jnp.asarray(ids), number), jnp.ones(4), 0.1)
    expected = clipped(gradients_of(problem, params, ids, number), 0.1).sum(0)
    assert np.allclose(vector(jax.tree.map(lambda a: a[0], total)), expected, atol=1e-12)
    other = clipped(gradients_of(problem, params, ids, jnp.asarray(5)), 0.1).sum(0)
    assert not np.allclose(expected, other, atol=1e-3)


def test_an_infinite_loss_decides_nothing():
    x = np.array(classes(30).x)
    problem = cu.Problem(
        init=lambda key: {"w": jnp.ones(4)},
        losses=lambda p, batch: jnp.where(batch.y == 1, jnp.inf, 1.0) * jnp.sum(batch.x @ p["w"]) ** 2,
        data=cu.Dataset(x, (np.arange(30) == 3).astype(float)),
    )
    assert np.isfinite(vector(run_of(problem).params)).all()


@pytest.mark.parametrize("most", [40, 200])
def test_a_microbatch_in_pieces_has_the_same_sum(most, monkeypatch):
    problem = network(n=60, l2=0.1)
    recipe = cu.Recipe(batch_size=24, clip_each=0.3, noise=2.0)
    row = jax.tree.map(lambda a: jnp.asarray(a)[0], cu.Schedule([list(range(24))], np.ones((1, 24)), [1.0]))
    params = problem.init(KEY)
    zeros, cell = jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.int32), params), noisy_gradient.noise_grid(recipe, 24)
    whole = noisy_gradient.noisy_gradient(problem, recipe, params, row, zeros, cell)
    program = jax.make_jaxpr(lambda p, b: problem.risk(p, b, row.weights[:1]))(params, problem.batch(row.indices[:1]))
    inputs = len(program.jaxpr.invars) - len(jax.tree.leaves(params))
    of_one = values(program.jaxpr, [False] * len(jax.tree.leaves(params)) + [True] * inputs)
    assert 10 < of_one < most or most == 40  # parameters, and the regulariser of parameters alone, are not counted
    monkeypatch.setattr(noisy_gradient, "_VALUES", most)
    seen = []
    monkeypatch.setattr(noisy_gradient, "clipped_sum", lambda *a: seen.append(len(a[3])) or clipped_sum(*a))
    pieces = noisy_gradient.noisy_gradient(problem, recipe, params, row, zeros, cell)
    assert seen and max(seen) < 24 and max(seen) <= max(1, most // of_one)
    np.testing.assert_allclose(vector(whole[0]), vector(pieces[0]), atol=2 * cell)
    assert float(whole[1]) == pytest.approx(float(pieces[1]))
