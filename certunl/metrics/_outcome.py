"""The input of a metric."""

from collections.abc import Callable

import jax
import numpy as np
from flax import struct

from certunl.base import Params
from certunl.training.problem import Scores

__all__ = ["Metric", "Outcome"]


@struct.dataclass
class Outcome:
    """One judged model and true retraining, with all that a metric may use.

    Args:
        original: the trained parameters, before the request.
        retrained: the parameters of true retraining.
        params: the parameters of the judged model.
        original_train, retrained_train, train: the scores of these three models on all training examples.
        retrained_test, test: the scores of the retrained and the judged model on all test examples, None without a test
            set.
        forgotten: bool[n], the training examples of the request.
        retained: bool[n], the training examples that remain.
        cost: `Update.cost` of the judged model.
        retrained_perturbed, perturbed: f[draws, k], whether the retrained and the judged model are right on each slight
            perturbation of each forgotten example. Default: None, without classes or with inputs that are whole
            numbers.
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
    retrained_perturbed: np.ndarray | None = None
    perturbed: np.ndarray | None = None


Metric = Callable[[Outcome], dict[str, float]]
