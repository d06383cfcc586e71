"""Random labels: training continues with a wrong label for each forgotten example."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from certunl.base import Key
from certunl.methods._continued import Continued, Lesson, relabelled
from certunl.training.run import Run

__all__ = ["RandomLabels"]


@dataclass(frozen=True, kw_only=True)
class RandomLabels(Continued):
    """The training loop, continued on all present examples after each forgotten one got a wrong label.

    The label is drawn once, uniformly among the classes other than its own. There are as many classes as the model has
    outputs. Classification only. NOT CERTIFIED.

    Args:
        epochs: passes over all examples that are present.
        learning_rate: the step size of every step. Default: the mean rate of training.

    Source: Golatkar, Achille, Soatto 2020, section 6 (random labels); the baseline of Fan et al. 2024.  Differs: the
    right label is never drawn, labels are drawn once, and forgotten and retained examples share batches.
    """

    name: ClassVar[str] = "random_labels"

    def lesson(self, run: Run, request: np.ndarray, key: Key) -> Lesson:
        return relabelled(self, run, request, key)
