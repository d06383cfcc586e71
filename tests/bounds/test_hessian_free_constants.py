"""The constants of the Hessian-free bounds in closed form: attained, and never exceeded."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.bounds import hessian_free_constants, measured_contractions
from tests.bounds.naive import POINT, Softmax, one
from tests.bounds.test_hessian_free_bound import softmax
from tests.cases import KEY, classes, network, trained, vector


def linear(kind="softmax", l2=0.0, n=30, dtype=jnp.float64, **recipe):
    """A run of `classification(Linear)` or `regression(Linear)` in the unit ball."""
    data = classes(n=n)
    x = data.x / np.linalg.norm(data.x, axis=1).max()
    if kind == "softmax":
        problem = cu.classification(
            cu.models.Linear(classes=3, dtype=dtype), cu.Dataset(x.astype(dtype), data.y), l2=l2
        )
    else:
        targets = np.sin(np.arange(2.0 * n)).reshape(n, 2)
        problem = cu.regression(cu.models.Linear(classes=2, dtype=dtype), cu.Dataset(x, targets), l2=l2)
    return trained(problem, **recipe)


def test_the_closed_form_constants_of_softmax_are_those_of_the_page():
    constants = hessian_free_constants(linear(weight_decay=0.1))
    R = math.sqrt(2)  # the bias is a feature of 1
    assert constants.smoothness == pytest.approx(R**2 / 2) and constants.convexity == 0
    assert constants.hessian_lipschitz == pytest.approx(0.27216553 * R**3, rel=1e-7)
    assert constants.gradient_bound == pytest.approx(math.sqrt(2) * R)
    assert constants.gradient_change == constants.gradient_spread / 2 == constants.gradient_bound
    assert constants.status("gradient_bound", "smoothness", "rounding", "contraction") == "proved"


def test_smoothness_and_hessian_lipschitz_are_attained_at_two_points_and_never_exceeded():
    rng, known = np.random.default_rng(0), softmax(norm=1.0)
    halves, skew = (one(1, start) for start in (np.zeros(2), POINT))
    assert np.linalg.norm(halves.derivatives(halves.start, [0])[1][0], 2) == pytest.approx(known.smoothness)
    apart = 1e-3 * np.array([1, -1]) / math.sqrt(2)
    change = np.diff([skew.derivatives(skew.start + s * apart, [0])[1][0] for s in (-1, 1)], axis=0)[0]
    assert 0.999 < np.linalg.norm(change, 2) / (known.hessian_lipschitz * 2e-3) <= 1
    for _ in range(500):
        c, p = rng.integers(2, 6), rng.integers(1, 4)
        x = rng.normal(size=(1, p))
        run = Softmax(x, np.array([0]), c, np.zeros((1, 1), int), np.ones(1), np.zeros(c * p))
        w, v = (rng.normal(size=c * p) * rng.choice([0.1, 1, 5]) for _ in range(2))
        limit, d = softmax(np.linalg.norm(x)), np.linalg.norm(w - v)
        (g, H), (h, K) = (run.derivatives(a, [0]) for a in (w, v))
        assert np.linalg.norm(g) <= limit.gradient_bound and np.linalg.norm(g - h) <= limit.gradient_change
        assert np.linalg.norm(H[0], 2) <= limit.smoothness * (1 + 1e-12)
        assert np.linalg.norm(H[0] - K[0], 2) <= limit.hessian_lipschitz * d
        assert np.linalg.norm(g - h - H[0] @ (w - v)) <= limit.hessian_lipschitz * d**2 / 2 + 1e-15


@pytest.mark.parametrize("kind", ["softmax", "least squares"])
@pytest.mark.parametrize("l2", [0.0, 0.4])
def test_the_gradient_bound_holds_along_training_and_retraining(kind, l2):
    run = linear(kind, l2, weight_decay=0.1, learning_rate=0.5)
    constants = hessian_free_constants(run)
    gradients = jax.jit(jax.vmap(jax.grad(lambda w, i: run.problem.losses(w, run.problem.data[i[None]])[0]), (None, 0)))
    largest = 0.0
    for gone in ([], range(15)):
        part = run.schedule.without(jnp.array(list(gone), jnp.int32))
        params = cu.fit(run.problem, run.recipe, run.start, part).params
        norms = np.sqrt(
            sum((np.asarray(g) ** 2).reshape(30, -1).sum(1) for g in jax.tree.leaves(gradients(params, jnp.arange(30))))
        )
        largest = max(largest, norms.max())
    assert 0.05 * constants.gradient_bound < largest <= constants.gradient_bound


def test_the_reach_of_least_squares_is_followed_by_hand():
    run = linear("least squares", weight_decay=0.1, learning_rate=0.5, epochs=1, batch_size=30)
    Y = float(np.linalg.norm(run.problem.data.y, axis=1).max())
    reach = float(np.linalg.norm(vector(run.start)))
    reach = max(0.95 * reach, 0.95 * reach + 0.5 * math.sqrt(2) * Y, reach)  # rho = max(.95, |1 − .5 (.1 + 2)|) = .95
    assert hessian_free_constants(run).gradient_bound == pytest.approx(2 * reach + math.sqrt(2) * Y)
    assert hessian_free_constants(run).hessian_lipschitz == 0


def test_the_reach_covers_retraining_that_loses_a_whole_batch():
    """The first step shrinks everyone to 0, unless it is empty; the second, of rate 3, doubles what is left."""
    run = linear(l2=1.0)
    start = jax.tree.map(lambda a: 10 * a / np.linalg.norm(vector(run.start)), run.start)
    schedule = cu.Schedule(np.arange(30).reshape(2, 15), np.ones((2, 15)), np.array([1.0, 3.0]))
    run = cu.fit(run.problem, run.recipe, start, schedule)
    retrained = cu.Retrain().forget(run, None, np.arange(15), KEY).params
    gradient = vector(jax.grad(lambda w: run.problem.losses(w, run.problem.data[:1])[0])(retrained))
    constants = hessian_free_constants(run)
    assert 15 < np.linalg.norm(gradient) <= constants.gradient_bound
    of_data = math.sqrt(2) * math.sqrt(2)
    assert constants.gradient_change - of_data == pytest.approx(2 * (constants.gradient_bound - of_data))
    assert constants.gradient_spread == pytest.approx(2 * of_data)


def test_bounded_gradients_bound_the_reach_where_steps_are_too_large_to_contract():
    constants = hessian_free_constants(linear(l2=0.1, learning_rate=5.0))
    assert constants.gradient_bound <= 2 + 0.1 * 20 + 1e-9  # W' = W/2 + 5 · 2


def test_the_norm_is_that_of_the_inputs_the_model_sees():
    data = cu.Dataset(np.full((4, 1), 1 + 1e-8), np.array([0, 1, 0, 1]))
    run = trained(cu.classification(cu.models.Linear(classes=2, dtype=jnp.float32), data), epochs=1)
    assert hessian_free_constants(run).smoothness == pytest.approx(1, rel=1e-12)


def test_a_closed_form_is_refused_elsewhere():
    run = linear()
    for recipe in ({"optimizer": "momentum"}, {"radius": 1.0}, {"clip_norm": 1.0}):
        if "radius" not in recipe:
            with pytest.raises(cu.BadInput, match="plain SGD"):
                hessian_free_constants(replace(run, recipe=cu.Recipe(**recipe)))
        with pytest.raises(cu.BadInput, match="plain SGD"):
            measured_contractions(replace(run, recipe=cu.Recipe(**recipe)), KEY)
    with pytest.raises(cu.BadInput, match="needs classification"):
        hessian_free_constants(replace(run, problem=network()))
    with pytest.raises(cu.BadInput, match="weights of 0 and 1"):
        hessian_free_constants(replace(run, schedule=run.schedule.replace(weights=run.schedule.weights / 2)))


def test_contractions_are_the_norms_of_the_steps_derivatives():
    run = linear(weight_decay=0.3, learning_rate=5.0, epochs=2, batch_size=10)
    gone = np.arange(30) < 4
    for asked in (None, gone):
        got = measured_contractions(run, KEY, gone=asked, steps=15)
        x = np.column_stack([run.problem.data.x, np.ones(30)])
        naive = Softmax(x, np.asarray(run.problem.data.y), 3, np.asarray(run.schedule.indices), None, None, 0.3)
        kernel, bias = (np.asarray(run.start["Dense_0"][k]) for k in ("kernel", "bias"))
        w = np.vstack([kernel, bias]).T.ravel()
        for ids, rate, value in zip(naive.indices, np.asarray(run.schedule.rates), got, strict=True):
            left = ids if asked is None else ids[~gone[ids]]
            assert value == pytest.approx(np.linalg.norm(naive.step(w, left, 10, rate)[1], 2), rel=1e-6)
            w = naive.step(w, ids, 10, rate)[0]


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_outside_the_classes_have_no_closed_form(label):
    run = linear(weight_decay=0.1)
    data = run.problem.data
    outside = run.replace(problem=run.problem.replace(data=replace(data, y=data.y.at[7].set(label))))
    with pytest.raises(cu.BadInput, match="labels from 0 to 2; remove examples with other labels"):
        hessian_free_constants(outside)
