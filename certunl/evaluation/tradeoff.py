"""The accuracy of a model at increasing noise levels."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from certunl.base import Key, Params, vector
from certunl.training.problem import Dataset, Problem

__all__ = ["tradeoff"]

_DRAWS, _POINTS = 5, 9


def tradeoff(
    problem: Problem, params: Params, data: Dataset, key: Key, sigma: float | None = None
) -> dict[float, float]:
    """{sigma: accuracy on `data` of `params` + N(0, sigma² I), the mean of five draws}.

    The noise levels are 0, nine levels from a thousandth to ten times the root mean square of the parameters, and
    `sigma` if it is given.
    """
    size = float(np.sqrt(np.mean(vector(params) ** 2)))
    levels = {0.0, *np.geomspace(1e-3 * size, 10 * size, _POINTS).tolist(), *([sigma] if sigma else [])}
    return {level: _accuracy(problem, params, data, key, level) for level in sorted(levels)}


def _accuracy(problem: Problem, params: Params, data: Dataset, key: Key, sigma: float) -> float:
    accuracies = []
    for draw in range(_DRAWS if sigma else 1):
        noised = _noised(jax.random.fold_in(key, draw), params, sigma)
        accuracies.append(float(jnp.mean(jnp.asarray(problem.scores(noised, data).correct))))
    return float(np.mean(accuracies))


@jax.jit
def _noised(key: Key, params: Params, sigma: float) -> Params:
    return jax.tree.map(lambda p, z: p + sigma * z, params, optax.tree.random_like(key, params))
