"""Accuracy and loss of the model on forgotten, retained and test examples."""

import numpy as np

from certunl.metrics._outcome import Outcome
from certunl.training.problem import Scores

__all__ = ["utility"]


def utility(outcome: Outcome) -> dict[str, float]:
    """`<split>_accuracy` and `<split>_loss`, means over the forgotten, retained and test examples."""
    result: dict[str, float] = {}
    everyone = None if outcome.test is None else np.ones(len(outcome.test.losses), bool)
    for split, scores, mask in (
        ("forget", outcome.train, np.asarray(outcome.forgotten)),
        ("retain", outcome.train, np.asarray(outcome.retained)),
        ("test", outcome.test, everyone),
    ):
        if isinstance(scores, Scores):
            if scores.correct is not None:
                result[f"{split}_accuracy"] = float(np.mean(np.asarray(scores.correct)[mask]))
            result[f"{split}_loss"] = float(np.mean(np.asarray(scores.losses, np.float64)[mask]))
    return result
