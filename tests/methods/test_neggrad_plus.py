"""NegGrad+ by hand: each half of a step is a mean, and at the ends it is fine-tuning and negative gradient."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.methods.neggrad_plus import _opposed
from certunl.training.drawing import draw
from tests.cases import KEY, gap, ridge, trained

IDS = [2, 5, 11]
LEFT = np.setdiff1d(np.arange(24), IDS)


@pytest.mark.parametrize("denominator", ["batch", "retained"])
def test_one_step_over_all_rows_by_hand(denominator):
    run = trained(ridge(), batch_size=24, weight_decay=0.2, denominator=denominator)
    x, y, w = (np.asarray(a) for a in (run.problem.data.x, run.problem.data.y, run.params["w"]))
    down, up = (x[rows].T @ (x[rows] @ w - y[rows]) / len(rows) for rows in (LEFT, IDS))
    update = cu.NegGradPlus(learning_rate=0.03, retain_share=0.7).forget(run, None, IDS, KEY)
    assert gap(update.params, {"w": w - 0.03 * (0.7 * down - 0.3 * up + 0.2 * w)}) < 1e-13
    assert update.bound is None


@pytest.mark.parametrize("batches", ["equal", "fixed", "poisson"])
def test_each_half_of_a_step_is_a_mean_and_the_forgotten_come_round_equally_often(batches):
    recipe = cu.Recipe(batch_size=2, epochs=12, batches=batches)
    first, second = jax.random.split(KEY)
    retain = draw(first, recipe, 9)
    steps = len(retain)
    forgotten = jax.tree.map(lambda a: a[:steps], draw(second, replace(recipe, epochs=steps // 2), 3))
    both, width = _opposed(retain, forgotten, 0.8), retain.indices.shape[1]
    shares = np.asarray(both.weights / np.maximum(both.divisors, 1)[:, None])
    assert (both.divisors == (both.weights != 0).sum(axis=1)).all()
    np.testing.assert_array_equal(both.indices[:, :width], retain.indices)
    for half, drawn, share in ((shares[:, :width], retain, 0.8), (shares[:, width:], forgotten, -0.2)):
        np.testing.assert_allclose(half, share * drawn.weights / drawn.divisors[:, None], rtol=1e-12)
        if batches != "poisson":
            np.testing.assert_allclose(half.sum(axis=1), share, rtol=1e-12)
    if batches != "poisson":
        named = np.asarray(both.indices[:, width:])[np.asarray(both.weights[:, width:]) != 0]
        assert len(set(np.bincount(named))) == 1


@pytest.mark.parametrize("recipe", [{"denominator": "retained"}, {"batches": "fixed"}, {"batches": "poisson"}])
def test_with_everything_to_retain_it_is_fine_tuning_and_with_nothing_negative_gradient(recipe):
    run = trained(ridge(), weight_decay=0.1, optimizer="momentum", **recipe)
    first, second = jax.random.split(KEY)
    fine = cu.FineTune(epochs=2).forget(run, None, IDS, first).params
    assert gap(cu.NegGradPlus(epochs=2, retain_share=1).forget(run, None, IDS, KEY).params, fine) < 1e-14
    steps = len(draw(first, replace(run.recipe, epochs=2), len(LEFT)))  # the request is one batch
    ascent = cu.NegGrad(epochs=steps).forget(run, None, IDS, second).params
    assert gap(cu.NegGradPlus(epochs=2, retain_share=0).forget(run, None, IDS, KEY).params, ascent) < 1e-13


def test_it_ends_where_ascent_does_and_its_settings_are_checked():
    run = trained(ridge())
    with pytest.raises(cu.Diverged, match="NaN or infinite"):
        cu.NegGradPlus(epochs=400, learning_rate=5.0, retain_share=0.1).forget(run, None, IDS, KEY)
    for settings in ({"retain_share": -0.1}, {"retain_share": 1.1}, {"retain_share": "x"}, {"epochs": 0}):
        with pytest.raises(cu.BadInput):
            cu.NegGradPlus(**settings)
