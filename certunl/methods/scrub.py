"""SCRUB (Kurmanji et al. 2023): a student that disobeys its teacher on the forgotten and obeys it on the retained."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from certunl.base import Key, Params
from certunl.certificates.update import Unlearner, Update
from certunl.errors import nonnegative, whole
from certunl.methods._continued import followed
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.problem import Dataset, Problem
from certunl.training.recipe import Recipe
from certunl.training.run import Run, continuation
from certunl.training.schedule import Schedule
from certunl.training.supervised import classes

__all__ = ["SCRUB"]


@dataclass(frozen=True, kw_only=True)
class SCRUB(Unlearner):
    """`epochs` over the retained examples, down alpha · KL_i + gamma · l_i, at `learning_rate` (default: the run's last
    rate); before each of the first `max_epochs`, an epoch over the forgotten ones, up KL_i, at `max_learning_rate`.

    KL_i = KL(teacher(x_i) ‖ student(x_i)) of the softmax of the outputs; the teacher is the run's parameters, where the
    student starts, and where KL has no slope: the first epoch up does next to nothing. The later ones grow like an
    exponential of rate times steps, and wreck a model that has none left: by default the rate is 2 · `learning_rate`
    shared out over the steps of an epoch up. Classification only. NOT CERTIFIED.
    Source: Kurmanji, Triantafillou, Hayes, Triantafillou 2023, eqs. 2 and 3, algorithm 1.  Differs: a rate of its own
    for the epochs up, no temperature, no rewinding; the run's optimizer, weight decay and batch size.
    """

    epochs: int = 5
    max_epochs: int = 3
    learning_rate: float | None = None
    max_learning_rate: float | None = None
    alpha: float = 0.5
    gamma: float = 1.0

    def __post_init__(self) -> None:
        for rate in (self.learning_rate, self.max_learning_rate):
            Recipe(epochs=self.epochs, learning_rate=1.0 if rate is None else rate)
        whole(max_epochs=self.max_epochs, least=0, most=self.epochs)
        nonnegative(alpha=self.alpha, gamma=self.gamma)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """`key` draws the batches. Raises: Diverged when a loss leaves the finite numbers."""
        request = run.check(request)
        classes(run.problem, run.params, "scrub")
        recipe, schedule = self._alternating(run, request, key)
        with Stopwatch() as watch:
            forgotten = jnp.zeros(len(run.present), bool).at[request].set(True)
            lessons = _Lessons(run.problem.data, _outputs(run.problem, run.params), forgotten)
            losses = _Distilled(run.problem.losses, float(self.alpha), float(self.gamma))
            params = followed(replace(run.problem, losses=losses, data=lessons), recipe, run.params, schedule)
        return updated(run, params, watch, "scrub")

    def _alternating(self, run: Run, request: np.ndarray, key: Key) -> tuple[Recipe, Schedule]:
        """Epochs over the forgotten and the retained in turn, the last over the retained only."""
        rows = np.flatnonzero(run.retained(request))
        retain_key, forget_key = jax.random.split(key)
        recipe, down = continuation(run, rows, self.epochs, self.learning_rate, retain_key)
        if not self.max_epochs:
            return recipe, down
        _, up = continuation(run, request, self.max_epochs, self.max_learning_rate, forget_key)
        if self.max_learning_rate is None:
            up = replace(up, rates=jnp.full_like(up.rates, 2 * recipe.learning_rate * self.max_epochs / len(up)))
        ups = np.arange(len(up)).reshape(self.max_epochs, -1)
        downs = len(up) + np.arange(len(down)).reshape(self.epochs, -1)
        order = np.concatenate([steps for i in range(self.epochs) for steps in (*ups[i : i + 1], downs[i])])
        return recipe, jax.tree.map(lambda a: a[order], up.then(down))


@struct.dataclass
class _Lessons:
    """The examples, what the teacher says of each, f[n, c], and who is forgotten, bool[n]: data like others."""

    examples: Dataset
    teacher: jax.Array
    forgotten: jax.Array

    def __getitem__(self, indices: Any) -> "_Lessons":
        return jax.tree.map(lambda array: array[indices], self)


@dataclass(frozen=True)
class _Distilled:
    """−KL_i for a forgotten example, alpha KL_i + gamma l_i for another; equal for equal settings."""

    losses: Any
    alpha: float
    gamma: float

    def __call__(self, params: Params, batch: Any) -> jax.Array:
        said = jax.nn.log_softmax(self.losses.predict(params, batch.examples.x))
        taught = jax.nn.log_softmax(batch.teacher)
        kl = jnp.sum(jnp.exp(taught) * (taught - said), axis=-1)
        own = self.alpha * kl + self.gamma * self.losses(params, batch.examples)
        return jnp.where(batch.forgotten, -kl, own)


@jax.jit
def _outputs(problem: Problem, params: Params) -> jax.Array:
    """f[n, c]: what the model says of every example."""

    def one(x: jax.Array) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            return problem.losses.predict(params, x[None])[0]

    return jax.lax.map(one, problem.data.x, batch_size=1000)
