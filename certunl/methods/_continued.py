"""The skeleton of the heuristics that go on with the training loop: each one writes only what the loop is to learn."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from certunl.base import Key, Params
from certunl.certificates.update import Unlearner, Update
from certunl.errors import plain_numbers, positive, warn, whole
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.continuing import continuation, mean_rate
from certunl.training.loop import check_finite, follow
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule
from certunl.training.supervised import classes, wrong_labels

__all__ = ["Continued", "Lesson", "relabelled"]


class Lesson(NamedTuple):
    """The arguments of the loop: the objective, the settings of a step, and the steps."""

    problem: Problem
    recipe: Recipe
    schedule: Schedule


@dataclass(frozen=True, kw_only=True)
class Continued(Unlearner):
    """A method that trains for a few more epochs from the run's parameters. A subclass defines `lesson`.

    The default rate is the mean of those of training, so that an epoch is as long as an average one of training. The
    last rate would be useless after a schedule that falls to 0.
    """

    name: ClassVar[str]

    epochs: int = 1
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        whole(epochs=self.epochs, most=10**7 - 1)
        positive("for the run's mean rate", learning_rate=self.learning_rate)

    def lesson(self, run: Run, request: np.ndarray, key: Key) -> Lesson:
        """The loop that unlearns the checked `request`; `key` draws its batches."""
        raise NotImplementedError(f"{type(self).__name__} does not define lesson, the loop that it trains")

    def follow(self, run: Run, request: np.ndarray, lesson: Lesson) -> tuple[Params, jax.Array]:
        """The last parameters of the loop and the risk at each step."""
        return follow(lesson.problem, lesson.recipe, run.params, lesson.schedule)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """Trains on. `key` draws the batches, and the labels where the method draws some; `prepared` is not used.

        Raises: Diverged when the loss leaves the finite numbers.
        """
        request = run.check(request, key)
        with Stopwatch() as watch:
            lesson = self.lesson(run, request, key)
            params, risks = jax.block_until_ready(self.follow(run, request, lesson))
        check_finite(risks, params, lesson.recipe)
        if self.rate(run) < _SLOW * mean_rate(run) and (moved := _distance(params, run.params)) < _LEAST:
            warn(
                f"{self.name} moved the parameters by {moved:.1g} of their norm, which forgets nothing; give it a "
                "larger learning_rate"
            )
        return updated(run, params, watch, self.name)

    def rate(self, run: Run) -> float:
        """The rate of every step."""
        return mean_rate(run) if self.learning_rate is None else self.learning_rate

    def own_loop(self, run: Run, rows: np.ndarray, key: Key) -> Lesson:
        """`epochs` more of the run's own loop on the examples `rows`."""
        return Lesson(run.problem, *continuation(run, rows, self.epochs, self.rate(run), key))


_SLOW, _LEAST = 1e-3, 1e-6
"""A rate of less than this share of training's is warned of if it moves the parameters by less than that share."""


def _distance(a: Params, b: Params) -> float:
    return float(optax.tree.norm(optax.tree.sub(a, b)) / optax.tree.norm(b))


def relabelled(method: Continued, run: Run, request: np.ndarray, key: Key) -> Lesson:
    """The run's own loop on all present examples, with one wrong label for each of `request`, drawn uniformly."""
    label_key, batch_key = jax.random.split(key)
    data, count = run.problem.data, classes(run.problem, method.name)
    labels = data.y.at[request].set(wrong_labels(label_key, data.y[request], count))
    lesson = method.own_loop(run, np.flatnonzero(run.present), batch_key)
    return lesson._replace(problem=replace(run.problem, data=replace(data, y=jnp.asarray(labels))))
