"""SCRUB by hand on softmax regression, and what is left of it without its teacher."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from tests.cases import KEY, classes, gap, network, trained, vector

IDS = [2, 5, 11]
LEFT = np.setdiff1d(np.arange(30), IDS)


def softmax(outputs):
    return np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("denominator", ["batch", "retained"])
def test_alternating_steps_by_hand(denominator):
    problem = cu.classification(cu.models.Linear(classes=3, bias=False, dtype=jnp.float64), classes())
    run = trained(problem, batch_size=30, weight_decay=0.2, denominator=denominator)
    x, y, w = np.asarray(problem.data.x), np.eye(3)[np.asarray(problem.data.y)], vector(run.params).reshape(4, 3)
    teacher = softmax(x @ w)

    def slope(rows, target):  # of a mean cross-entropy, and of a mean KL
        return x[rows].T @ (softmax(x[rows] @ w) - target[rows]) / len(rows)

    for epoch in range(3):
        if epoch < 2:
            w = w - 0.5 * (-slope(IDS, teacher) + 0.2 * w)
        w = w - 0.03 * (0.7 * slope(LEFT, teacher) + 0.6 * slope(LEFT, y) + 0.2 * w)
    method = cu.SCRUB(epochs=3, max_epochs=2, learning_rate=0.03, max_learning_rate=0.5, alpha=0.7, gamma=0.6)
    update = method.forget(run, None, IDS, KEY)
    assert np.abs(vector(update.params) - w.ravel()).max() < 1e-13
    assert update.bound is None and update.method == "scrub"


@pytest.mark.parametrize("recipe", [{"weight_decay": 0.1, "radius": 2.0}, {"optimizer": "momentum"}])
def test_without_a_teacher_it_is_fine_tuning(recipe):
    run = trained(network(l2=0.01), **recipe)
    fine = cu.FineTune(epochs=2).forget(run, None, IDS, jax.random.split(KEY)[0]).params
    assert gap(cu.SCRUB(epochs=2, max_epochs=0, alpha=0).forget(run, None, IDS, KEY).params, fine) < 1e-13
    obeying = cu.SCRUB(epochs=2, max_epochs=0, alpha=50.0, gamma=0, learning_rate=1e-3).forget(run, None, IDS, KEY)
    assert gap(obeying.params, run.params) < 0.01 < gap(fine, run.params)


def test_the_rate_of_an_epoch_up_is_the_authors():
    run = trained(network(), batch_size=2)
    given = cu.SCRUB(epochs=10, max_epochs=5, max_learning_rate=5e-4).forget(run, None, IDS, KEY).params
    assert gap(cu.SCRUB().forget(run, None, IDS, KEY).params, given) == 0
    assert cu.SCRUB(epochs=1).max_epochs == 1 and cu.SCRUB(epochs=3).max_epochs == 2


def test_epochs_up_unlearn_the_forgotten_and_not_the_retained():
    run = trained(network(), epochs=60, batch_size=10)
    losses = []
    for method in (cu.SCRUB(epochs=6, max_epochs=0), cu.SCRUB(epochs=6, max_epochs=5, max_learning_rate=2.0)):
        params = method.forget(run, None, IDS, KEY).params
        losses.append(np.asarray(run.problem.scores(params, run.problem.data).losses))
    still, up = losses
    assert up[IDS].mean() > 1.1 * still[IDS].mean() and up[LEFT].mean() < 1.1 * still[LEFT].mean()


def test_settings_are_checked_and_divergence_is_said():
    for settings in (
        {"epochs": 0},
        {"max_epochs": 11},
        {"max_epochs": -1},
        {"max_epochs": 1.5},
        {"alpha": -1},
        {"gamma": "x"},
        {"learning_rate": 0.0},
        {"max_learning_rate": -2.0},
    ):
        with pytest.raises(cu.BadInput):
            cu.SCRUB(**settings)
    with pytest.raises(cu.Diverged, match="NaN or infinite"):
        cu.SCRUB(learning_rate=1e200).forget(trained(network()), None, IDS, KEY)
