"""Accuracy and loss of each class, because the mean hides an effect on a single class."""

import numpy as np

from certunl.metrics._outcome import Outcome

__all__ = ["per_class"]

MOST = 50
"""Largest number of classes for which columns are made. With more classes, only the means of `utility` remain."""


def per_class(outcome: Outcome) -> dict[str, float]:
    """`class_<c>_<split>_accuracy` and `..._loss` for each class c and each split that contains it.

    The splits are the forgotten ("forget"), retained ("retain") and test examples. There are no columns for problems
    without classes or with more than 50 of them.
    """
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
