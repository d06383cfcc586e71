"""SCRUB (Kurmanji et al. 2023): distillation that keeps the retained outputs and drives the forgotten ones away."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from certunl.base import Key, Params
from certunl.errors import nonnegative, positive, whole
from certunl.methods._continued import Continued, Lesson
from certunl.training.continuing import continuation
from certunl.training.problem import Dataset, Problem
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule
from certunl.training.supervised import classes

__all__ = ["SCRUB"]


@dataclass(frozen=True, kw_only=True)
class SCRUB(Continued):
    """Epochs that raise KL_i over the forgotten examples, in turn with epochs that lower alpha · KL_i + gamma · l_i
    over the retained ones. The last epoch is always over the retained ones.

    KL_i = KL(teacher(x_i) ‖ student(x_i)) of the softmax of the outputs. The teacher is the run's model, and the
    student starts there. KL has gradient zero at the teacher, so the first epoch of ascent does almost nothing. Later
    ones grow exponentially in rate times steps, and can destroy the model. Classification only. NOT CERTIFIED.

    Args:
        epochs: passes over the retained examples.
        max_epochs: passes over the forgotten examples, one before each of the first `max_epochs` passes over the
            retained ones. At most `epochs`. Default: half of `epochs`, rounded up.
        learning_rate: the step size over the retained examples. Default: the mean rate of training.
        max_learning_rate: the step size over the forgotten examples. Default: 5e-4, as in the authors' code.
        alpha: the weight of the KL divergence over the retained examples.
        gamma: the weight of their loss.

    Source: Kurmanji, Triantafillou, Hayes, Triantafillou 2023, eqs. 2 and 3, algorithm 1.  Differs: a rate of its own
    for the epochs of ascent, no temperature, no rewinding; the run's optimizer, weight decay and batch size.
    """

    name: ClassVar[str] = "scrub"

    epochs: int = 10
    max_epochs: int | None = None
    max_learning_rate: float = 5e-4
    alpha: float = 0.5
    gamma: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(max_learning_rate=self.max_learning_rate)
        if self.max_epochs is None:
            object.__setattr__(self, "max_epochs", (self.epochs + 1) // 2)
        whole(max_epochs=self.max_epochs, least=0, most=self.epochs)
        nonnegative(alpha=self.alpha, gamma=self.gamma)

    def lesson(self, run: Run, request: np.ndarray, key: Key) -> Lesson:
        classes(run.problem, self.name)
        forgotten = jnp.zeros(len(run.present), bool).at[request].set(True)
        lessons = _Lessons(run.problem.data, _outputs(run.problem, run.params), forgotten)
        losses = _Distilled(run.problem.losses, float(self.alpha), float(self.gamma))
        return Lesson(
            replace(run.problem, losses=losses, data=lessons, randomness=None), *self._alternating(run, request, key)
        )

    def _alternating(self, run: Run, request: np.ndarray, key: Key) -> tuple[Recipe, Schedule]:
        """Epochs over the forgotten and the retained in turn, the last over the retained only."""
        retain_key, forget_key = jax.random.split(key)
        _, recipe, down = self.own_loop(run, np.flatnonzero(run.retained(request)), retain_key)
        if not self.max_epochs:
            return recipe, down
        _, up = continuation(run, request, self.max_epochs, self.max_learning_rate, forget_key)
        # one schedule holds all steps of ascent, then all of descent; `order` deals them out epoch by epoch
        ups = np.arange(len(up)).reshape(self.max_epochs, -1)
        downs = len(up) + np.arange(len(down)).reshape(self.epochs, -1)
        order = np.concatenate([steps for i in range(self.epochs) for steps in (*ups[i : i + 1], downs[i])])
        return recipe, jax.tree.map(lambda array: array[order], up.then(down))


@struct.dataclass
class _Lessons:
    """The data of the distillation: examples, the teacher's outputs f[n, c], and which are forgotten bool[n]."""

    examples: Dataset
    teacher: jax.Array
    forgotten: jax.Array

    def __getitem__(self, indices: Any) -> "_Lessons":
        return _Lessons(self.examples[indices], self.teacher[indices], self.forgotten[indices])


@dataclass(frozen=True)
class _Distilled:
    """−KL_i for a forgotten example, alpha KL_i + gamma l_i for a retained one.

    A dataclass and no closure, so that equal settings share one compiled loop.
    """

    losses: Any
    alpha: float
    gamma: float

    def __call__(self, params: Params, batch: Any) -> jax.Array:
        student = jax.nn.log_softmax(self.losses.predict(params, batch.examples.x))
        teacher = jax.nn.log_softmax(batch.teacher)
        kl = jnp.sum(jnp.exp(teacher) * (teacher - student), axis=-1)
        own = self.alpha * kl + self.gamma * self.losses(params, batch.examples)
        return jnp.where(batch.forgotten, -kl, own)


@jax.jit
def _outputs(problem: Problem, params: Params) -> jax.Array:
    """f[n, c]: the model's outputs on every example."""

    def one(i: jax.Array) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            return problem.outputs(params, problem.data[i[None]].x)[0]

    return jax.lax.map(one, jnp.arange(len(problem.data)), batch_size=1000)
