"""Negative gradient: gradient ascent on the loss of the forgotten examples."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from certunl.base import Key
from certunl.methods._continued import Continued, Lesson
from certunl.training.run import Run

__all__ = ["NegGrad"]


@dataclass(frozen=True, kw_only=True)
class NegGrad(Continued):
    """The training loop on the forgotten examples, each with weight −1.

    Ascent has no minimum to stop at, so too many epochs destroy the model. NOT CERTIFIED.

    Args:
        epochs: passes over the forgotten examples.
        learning_rate: the step size of every step. Default: the mean rate of training.
    """

    name: ClassVar[str] = "neggrad"

    def lesson(self, run: Run, request: np.ndarray, key: Key) -> Lesson:
        lesson = self.own_loop(run, request, key)
        return lesson._replace(schedule=replace(lesson.schedule, weights=-lesson.schedule.weights))
