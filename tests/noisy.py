"""Runs with noise, and clipped gradients one by one, for the tests."""

import jax
import jax.numpy as jnp
import numpy as np

import certunl as cu
from tests.cases import KEY, network, vector

SETTINGS = {"learning_rate": 0.5, "epochs": 2, "batch_size": 10, "clip_each": 0.5, "noise": 2.0, "weight_decay": 0.01}


def run_of(problem=None, *, noise_key=KEY, states=1, **settings):
    recipe = cu.Recipe(**SETTINGS | settings)
    return cu.train(problem or network(), recipe, KEY, noise_key=noise_key, states=states)


def one_against_many():
    """Eight examples, of which the first alone has a gradient, longer than any limit. So nothing else moves."""
    x = np.zeros((8, 1))
    x[0] = 1e3
    return cu.Problem(
        init=lambda key: {"w": jnp.zeros(1)},
        losses=lambda p, batch: -(batch.x @ p["w"]),
        data=cu.Dataset(x, np.zeros(8)),
    )


def gradients_of(problem, params, ids, key=None):
    """The gradient of each example, one after the other, f64[b, d]."""
    one = jax.grad(lambda p, i: problem.risk(p, problem.batch(i[None], key), jnp.ones(1)))
    return np.stack([vector(one(params, jnp.asarray(i))) for i in ids])


def clipped(gradients, limit):
    norms = np.linalg.norm(gradients, axis=1, keepdims=True)
    return gradients * np.minimum(1, limit / np.maximum(norms, 1e-300))
