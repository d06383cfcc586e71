"""How fast a model learns again what it forgot."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np

from certunl.base import Key, Params
from certunl.training.loop import follow
from certunl.training.problem import Dataset
from certunl.training.run import Run
from certunl.training.schedule import draw

__all__ = ["relearn_epochs", "relearnt"]


def relearnt(run: Run, params: Params, data: Dataset, key: Key, epochs: int, stop_at: float = -np.inf) -> np.ndarray:
    """f[e + 1, m]: the loss of each example of `data` after 0, 1, ... epochs of fine-tuning on all of them by the run's
    recipe at its first learning rate; e = `epochs`, or as many as bring the mean loss to `stop_at`."""
    recipe = replace(run.recipe, epochs=1, decay=1.0, learning_rate=float(run.schedule.rates[0]))
    problem = replace(run.problem, data=jax.tree.map(jax.numpy.asarray, data))
    losses = [np.asarray(problem.scores(params, problem.data).losses, np.float64)]
    for epoch in range(epochs):
        if losses[-1].mean() <= stop_at:
            break
        schedule = draw(jax.random.fold_in(key, epoch), recipe, len(data))
        params, _ = follow(problem, recipe, params, schedule)
        losses.append(np.asarray(problem.scores(params, problem.data).losses, np.float64))
    return np.stack(losses)


def relearn_epochs(run: Run, params: Params, request: Any, key: Key, *, slack: float = 0.05, most: int = 20) -> float:
    """The epochs of fine-tuning on `request` until its mean loss is at most (1 + `slack`) times that of the trained
    model, `run.params`: 0 where nothing was forgotten, infinity where `most` are not enough.

    Hold it against the retrained model's: fewer may say that something is still known, but the size of the parameters
    alone moves it too.
    """
    data = run.problem.data[np.asarray(request)]
    goal = (1 + slack) * float(np.mean(run.problem.scores(run.params, data).losses))
    losses = relearnt(run, params, data, key, most, goal).mean(axis=1)
    return float(len(losses) - 1) if losses[-1] <= goal else float("inf")
