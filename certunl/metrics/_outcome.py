"""What a metric looks at."""

from collections.abc import Callable

import jax
from flax import struct

from certunl.base import Params
from certunl.training.problem import Scores

__all__ = ["Metric", "Outcome"]


@struct.dataclass
class Outcome:
    """One model held against true retraining: everything a metric may look at.

    `original`, `retrained`, `params` are the trained, the truly retrained and the judged parameters; `*_train` and
    `*_test` (None without a test set) their scores on all training and on all test examples, `train` and `test` the
    judged model's; `forgotten`, `retained` are bool[n] over the training examples; `cost` is what forgetting took.
    """

    original: Params
    retrained: Params
    params: Params
    original_train: Scores
    retrained_train: Scores
    train: Scores
    retrained_test: Scores | None
    test: Scores | None
    forgotten: jax.Array
    retained: jax.Array
    cost: dict[str, float]


Metric = Callable[[Outcome], dict[str, float]]
