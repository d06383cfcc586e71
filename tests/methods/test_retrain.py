"""Retraining is the same loop on the mask."""

from dataclasses import replace

import flax.linen as nn
import jax
import numpy as np
import pytest

import certunl as cu
from tests.cases import KEY, classes, gap, network, ridge, trained, vector


def test_retraining_equals_a_loop_without_the_rows():
    run = trained(ridge(), weight_decay=0.2)
    x, y, ids = np.asarray(run.problem.data.x), np.asarray(run.problem.data.y), [2, 3, 20]
    w = np.asarray(run.start["w"])
    for t in range(len(run.schedule)):
        rows = np.asarray(run.schedule.indices[t])[np.asarray(run.schedule.weights[t]) != 0]
        left = rows[~np.isin(rows, ids)]
        gradient = x[left].T @ (x[left] @ w - y[left]) / len(rows) + 0.2 * w
        w = w - 0.1 * gradient
    assert gap(cu.Retrain().forget(run, None, ids, KEY).params, {"w": w}) < 1e-13


def test_retained_denominator_divides_by_those_left_and_an_emptied_batch_only_decays():
    problem = ridge(n=6)
    schedule = cu.Schedule(np.array([[0, 1], [2, 3], [4, 5]], np.int32), np.ones((3, 2)), np.full(3, 0.1))
    run = cu.fit(problem, cu.Recipe(denominator="retained", weight_decay=0.5), problem.init(KEY), schedule)
    x, y = np.asarray(problem.data.x), np.asarray(problem.data.y)
    w = np.asarray(run.start["w"])
    for left in ([0], [], [4, 5]):
        data = x[left].T @ (x[left] @ w - y[left]) / len(left) if left else 0
        w = w - 0.1 * (data + 0.5 * w)
    assert gap(cu.Retrain().forget(run, None, [1, 2, 3], KEY).params, {"w": w}) < 1e-13


def test_a_second_request_is_retraining_without_both():
    run = trained(network())
    first = cu.Retrain().forget(run, None, [1, 2], KEY)
    second = cu.Retrain().forget(run.minus([1, 2], first.params), None, [9], KEY)
    both = cu.Retrain().forget(run, None, [1, 2, 9], KEY)
    assert (vector(second.params) == vector(both.params)).all()


def test_forgetting_nobody_replays_training_exactly():
    run = trained(network(), radius=2.0, optimizer="momentum")
    replayed = cu.fit(run.problem, run.recipe, run.start, run.schedule.without(np.zeros(0, np.int32)))
    assert (vector(replayed.params) == vector(run.params)).all()


def test_a_retraining_that_diverges_is_reported():
    run = trained(network())
    wild = replace(run, schedule=replace(run.schedule, rates=run.schedule.rates * 1e200))
    with pytest.raises(cu.Diverged, match="learning rate"):
        cu.Retrain().forget(wild, None, [0], jax.random.key(0))


def test_losses_that_look_at_a_whole_batch_do_not_see_the_forgotten_either():
    class Centred(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3)(x - x.mean(0))

    data = classes()
    ends = []
    for value in (0.0, 9.0):
        x = np.array(data.x)
        x[7] = value
        run = trained(cu.classification(Centred(), cu.Dataset(x, data.y)), epochs=2)
        ends.append(vector(cu.Retrain().forget(run, None, [7], KEY).params))
    np.testing.assert_array_equal(*ends)
