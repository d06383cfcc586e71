"""Labels that are wrong on purpose: what random labels and SalUn share."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from certunl.methods._continued import continuation
from certunl.problem import Problem
from certunl.recipe import Recipe
from certunl.schedule import Schedule
from certunl.supervised import classes, wrong_labels
from certunl.training import Run
from certunl.typing import Key

__all__ = ["relabelled"]


def relabelled(
    run: Run, request: np.ndarray, epochs: int, learning_rate: float | None, key: Key, what: str
) -> tuple[Problem, Recipe, Schedule]:
    """The problem with a wrong label for each of `request`, drawn uniformly, and the loop going on over all present."""
    data, count = run.problem.data, classes(run.problem, run.params, what)
    label_key, batch_key = jax.random.split(key)
    labels = data.y.at[request].set(wrong_labels(label_key, data.y[request], count))
    recipe, schedule = continuation(run, np.flatnonzero(run.present), epochs, learning_rate, batch_key)
    return replace(run.problem, data=replace(data, y=jnp.asarray(labels))), recipe, schedule
