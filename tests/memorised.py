"""A model that learnt its examples by heart, for attacks to find."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

import certunl as cu
from tests.cases import KEY

__all__ = ["FORGOTTEN", "noise", "worlds"]

FORGOTTEN = np.arange(100, dtype=np.int32)


def noise(n, seed):
    """Labels that say nothing of the inputs: what is known of an example was learnt by heart."""
    rng = np.random.default_rng(seed)
    return cu.Dataset(rng.normal(size=(n, 20)), rng.integers(0, 4, n))


def worlds():
    """(an overfit run, one of the same data that never saw the forgotten, test examples)."""
    problem = cu.classification(cu.models.MLP(hidden=(48,), classes=4, dtype=jnp.float64), noise(200, 0))
    recipe = cu.Recipe(learning_rate=0.5, epochs=100, batch_size=40)
    overfit = cu.train(problem, recipe, KEY)
    return overfit, replace(overfit, params=cu.Retrain().forget(overfit, None, FORGOTTEN, KEY).params), noise(600, 2)
