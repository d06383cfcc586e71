"""The training loop, gone on with: what fine-tuning, negative gradient and the other heuristics share."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key, Params
from certunl.certificates.update import Update
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.loop import check_finite, follow
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.run import Run, continuation
from certunl.training.schedule import Schedule
from certunl.training.supervised import classes, wrong_labels

__all__ = ["continued", "followed", "relabelled"]


def continued(
    run: Run, rows: np.ndarray, sign: float, epochs: int, learning_rate: float | None, key: Key, method: str
) -> Update:
    """The Update after `epochs` more on `rows`, each weighted `sign`, by the run's own recipe at a constant rate.

    `learning_rate` defaults to that of the run's last step. No theorem: NOT CERTIFIED.
    """
    recipe, schedule = continuation(run, rows, epochs, learning_rate, key)
    schedule = replace(schedule, weights=sign * schedule.weights)
    with Stopwatch() as watch:
        params = followed(run.problem, recipe, run.params, schedule)
    return updated(run, params, watch, method)


def followed(problem: Problem, recipe: Recipe, start: Params, schedule: Schedule) -> Params:
    """The end of the loop, when it is there. Raises: Diverged where it is not finite."""
    params, risks = jax.block_until_ready(follow(problem, recipe, start, schedule))
    check_finite(risks, params, recipe)
    return params


def relabelled(
    run: Run, request: np.ndarray, epochs: int, learning_rate: float | None, key: Key, what: str
) -> tuple[Problem, Recipe, Schedule]:
    """The problem with a wrong label for each of `request`, drawn uniformly, and the loop going on over all present."""
    data, count = run.problem.data, classes(run.problem, run.params, what)
    label_key, batch_key = jax.random.split(key)
    labels = data.y.at[request].set(wrong_labels(label_key, data.y[request], count))
    recipe, schedule = continuation(run, np.flatnonzero(run.present), epochs, learning_rate, batch_key)
    return replace(run.problem, data=replace(data, y=jnp.asarray(labels))), recipe, schedule
