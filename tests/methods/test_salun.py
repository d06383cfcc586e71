"""SalUn: random labels where every weight moves, and not one bit of a weight that may not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from tests.cases import KEY, classes, gap, network, trained, vector

IDS = [2, 5, 11]
SETTINGS = [
    {"weight_decay": 0.1, "radius": 2.0},
    {"optimizer": "adam", "weight_decay": 0.1, "learning_rate": 0.01},
    {"optimizer": "momentum", "clip_norm": 0.2, "denominator": "retained"},
]


@pytest.mark.parametrize("recipe", SETTINGS)
def test_salun_of_every_weight_is_random_labels_and_of_none_does_nothing(recipe):
    run = trained(network(), **recipe)
    labels = cu.RandomLabels(epochs=2).forget(run, None, IDS, KEY).params
    assert gap(cu.SalUn(epochs=2, quantile=0).forget(run, None, IDS, KEY).params, labels) < 1e-13
    still = cu.SalUn(epochs=2, quantile=1).forget(run, None, IDS, KEY).params
    assert (vector(still) == vector(run.params)).all()


@pytest.mark.parametrize("recipe", SETTINGS)
@pytest.mark.parametrize("quantile", [0.5, 0.83])
def test_salun_moves_the_weights_of_largest_forgotten_gradient_and_not_one_bit_of_another(recipe, quantile):
    run = trained(network(), **recipe)
    gradient = vector(jax.grad(run.problem.risk)(run.params, run.problem.data[np.array(IDS)], jnp.full(3, 1 / 3)))
    update = cu.SalUn(quantile=quantile, epochs=3).forget(run, None, IDS, KEY)
    moved = vector(update.params) != vector(run.params)
    assert moved.sum() == round((1 - quantile) * 51)
    assert (moved == (np.abs(gradient) >= np.sort(np.abs(gradient))[-moved.sum()])).all()
    if (radius := recipe.get("radius")) is not None:
        assert np.linalg.norm(vector(update.params)) <= radius * (1 + 1e-12)


def test_the_ball_is_kept_by_the_weights_that_move():
    problem = cu.classification(cu.models.Linear(classes=3, bias=False, dtype=jnp.float64), classes())
    run = trained(problem, batch_size=30, radius=0.5, learning_rate=1.0)
    assert np.linalg.norm(vector(run.params)) == pytest.approx(0.5)
    update = cu.SalUn(learning_rate=3.0, epochs=5).forget(run, None, IDS, KEY)
    assert np.linalg.norm(vector(update.params)) == pytest.approx(0.5, rel=1e-12)
    assert (vector(update.params) == vector(run.params)).sum() == 6


def test_settings_are_checked_and_divergence_is_said():
    for settings in ({"epochs": 0}, {"learning_rate": -1.0}):
        with pytest.raises(cu.BadInput):
            cu.SalUn(**settings)
    with pytest.raises(cu.Diverged, match="NaN or infinite"):
        cu.SalUn(learning_rate=1e200, epochs=3).forget(trained(network(), weight_decay=0.1), None, IDS, KEY)
    for quantile in (-0.1, 1.5, "half", float("nan")):
        with pytest.raises(cu.BadInput, match="quantile"):
            cu.SalUn(quantile=quantile)
