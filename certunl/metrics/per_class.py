"""Accuracy class by class: what forgetting did to one of them drowns in the mean."""

import numpy as np

from certunl.metrics._outcome import Outcome

__all__ = ["per_class"]

MOST = 50
"""With more classes than this nothing is told: the mean and the worst say it in the table."""


def per_class(outcome: Outcome) -> dict[str, float]:
    """`class_<c>_<split>_accuracy` and `..._loss` for every class c that the forgotten, retained or test examples have;
    nothing for other problems, or for more than 50 classes."""
    result: dict[str, float] = {}
    everyone = np.ones(0 if outcome.test is None else len(outcome.test.losses), bool)
    for split, scores, mask in (
        ("forget", outcome.train, np.asarray(outcome.forgotten)),
        ("retain", outcome.train, np.asarray(outcome.retained)),
        ("test", outcome.test, everyone),
    ):
        if scores is None or scores.correct is None or scores.outputs is None or scores.outputs.shape[-1] > MOST:
            continue
        labels, correct = np.asarray(scores.labels)[mask], np.asarray(scores.correct)[mask]
        losses = np.asarray(scores.losses, np.float64)[mask]
        for label in np.unique(labels):
            mine = labels == label
            result[f"class_{label}_{split}_accuracy"] = float(np.mean(correct[mine]))
            result[f"class_{label}_{split}_loss"] = float(np.mean(losses[mine]))
    return result
