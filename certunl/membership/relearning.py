"""The speed at which a model learns forgotten examples again."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np

from certunl.base import Key, Params
from certunl.training.drawing import schedule_of
from certunl.training.loop import follow
from certunl.training.problem import Dataset
from certunl.training.run import Run

__all__ = ["relearn_epochs", "relearnt"]


def relearnt(run: Run, params: Params, data: Dataset, key: Key, epochs: int, stop_at: float = -np.inf) -> np.ndarray:
    """f[e + 1, m]: the loss of each example of `data` after 0, 1, ... e epochs of fine-tuning on all of `data`.

    Fine-tuning uses the run's recipe at its first learning rate. e is `epochs`, or the first epoch at which the mean
    loss is at most `stop_at`.
    """
    batches = "poisson" if run.recipe.batches == "secret" else run.recipe.batches
    plain = replace(run.recipe, clip_each=None, noise=0.0, batches=batches)
    recipe = replace(plain, epochs=1, decay=1.0, learning_rate=run.rates[0], slices=1)
    problem = replace(run.problem, data=jax.tree.map(jax.numpy.asarray, data))
    losses = [np.asarray(problem.scores(params, problem.data).losses, np.float64)]
    for epoch in range(epochs):
        if losses[-1].mean() <= stop_at:
            break
        schedule = schedule_of(problem, recipe, jax.random.fold_in(key, epoch))
        params, _ = follow(problem, recipe, params, schedule)
        losses.append(np.asarray(problem.scores(params, problem.data).losses, np.float64))
    return np.stack(losses)


def relearn_epochs(run: Run, params: Params, request: Any, key: Key, *, slack: float = 0.05, most: int = 20) -> float:
    """The epochs of fine-tuning on `request` until its mean loss is at most (1 + `slack`) times the original one.

    The original mean loss is that of `run.params`. The result is 0 if the loss is that low from the beginning, and
    infinity if `most` epochs are not enough. Compare it with the result of the retrained model. Fewer epochs may mean
    that the model still knows something, but the size of the parameters alone also changes the result.
    """
    data = run.problem.data[np.asarray(request)]
    goal = (1 + slack) * float(np.mean(run.problem.scores(run.params, data).losses))
    losses = relearnt(run, params, data, key, most, goal).mean(axis=1)
    return float(len(losses) - 1) if losses[-1] <= goal else float("inf")
