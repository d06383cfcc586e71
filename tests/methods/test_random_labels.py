"""Random labels by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.training.supervised import wrong_labels
from tests.cases import KEY, classes, trained, vector

IDS = [2, 5, 11]


@pytest.mark.parametrize("count", [2, 5])
def test_wrong_labels_are_uniform_among_the_others(count):
    labels = jnp.arange(4000) % count
    drawn = np.asarray(wrong_labels(KEY, labels, count))
    assert drawn.dtype == labels.dtype and drawn.min() == 0 and drawn.max() == count - 1
    pairs = np.zeros((count, count))
    np.add.at(pairs, (np.asarray(labels), drawn), 1)
    assert (np.diag(pairs) == 0).all()
    expected = 4000 / count / (count - 1)
    others = pairs[~np.eye(count, dtype=bool)]
    assert (np.abs(others - expected) <= 5 * np.sqrt(expected)).all()


def softmax_run(**recipe):
    problem = cu.classification(cu.models.Linear(classes=3, bias=False, dtype=jnp.float64), classes())
    return trained(problem, batch_size=30, **recipe)


def test_one_step_of_random_labels_by_hand():
    run = softmax_run(weight_decay=0.2)
    x, y, w = np.asarray(run.problem.data.x), np.array(run.problem.data.y), np.asarray(vector(run.params)).reshape(4, 3)
    label_key, _ = jax.random.split(KEY)
    y[IDS] = wrong_labels(label_key, jnp.asarray(y[IDS]), 3)
    p = np.exp(x @ w) / np.exp(x @ w).sum(axis=1, keepdims=True)
    after = w - 0.03 * (x.T @ (p - np.eye(3)[y]) / 30 + 0.2 * w)
    update = cu.RandomLabels(learning_rate=0.03).forget(run, None, IDS, KEY)
    assert np.abs(vector(update.params) - after.ravel()).max() < 1e-13
    assert update.bound is None and (run.problem.data.y[jnp.array(IDS)] != y[IDS]).all()


def test_settings_are_checked_and_divergence_is_said():
    for settings in ({"epochs": 0}, {"learning_rate": -1.0}):
        with pytest.raises(cu.BadInput):
            cu.RandomLabels(**settings)
    with pytest.raises(cu.Diverged, match="NaN or infinite"):
        cu.RandomLabels(learning_rate=1e200, epochs=3).forget(softmax_run(weight_decay=0.1), None, IDS, KEY)
