"""Fine-tuning on the retained examples, the usual heuristic baseline."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from certunl.base import Key
from certunl.methods._continued import Continued, Lesson
from certunl.training.run import Run

__all__ = ["FineTune"]


@dataclass(frozen=True, kw_only=True)
class FineTune(Continued):
    """The training loop, continued on the retained examples alone.

    Nothing of the forgotten examples is subtracted. The model forgets only as fast as new steps overwrite old ones.
    NOT CERTIFIED.

    Args:
        epochs: passes over the retained examples.
        learning_rate: the step size of every step. Default: the mean rate of training.
    """

    name: ClassVar[str] = "finetune"

    def lesson(self, run: Run, request: np.ndarray, key: Key) -> Lesson:
        return self.own_loop(run, np.flatnonzero(run.retained(request)), key)
