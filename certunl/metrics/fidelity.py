"""The closeness of the model to true retraining."""

import numpy as np

from certunl.base import vector
from certunl.metrics._correlation import correlations
from certunl.metrics._outcome import Outcome
from certunl.training.problem import Scores

__all__ = ["fidelity"]


def fidelity(outcome: Outcome) -> dict[str, float]:
    """Distances, correlations and agreements with the retrained model, NaN if they cannot be computed.

    The ideal value stands in brackets:

    * `distance` (0): ‖params − retrained‖.
    * `relative_distance` (0): the distance over ‖original − retrained‖, so that doing nothing has 1. It judges methods
      that approximate the replayed retraining, and not heuristics, which aim at no parameters.
    * `cosine` (1): of the parameters of both models.
    * `update_cosine` (1): of their differences from the original parameters.
    * `loss_change_correlation`, `loss_change_rank_correlation` (1): Pearson's and Spearman's, over the forgotten
      examples, of the loss changes from the original model to both models. They need three examples.
    * `forget_agreement`, `test_agreement` (1): the share of examples with the same predicted class or bit.
    * `tug_of_war` (1): the product of 1 − |accuracy − retrained accuracy| over forgotten, retained and test examples.

    Source: tug-of-war Zhao et al. 2024 (ToW).
    """
    start, mine, goal = (vector(tree) for tree in (outcome.original, outcome.params, outcome.retrained))
    distance, nothing = np.linalg.norm(mine - goal), np.linalg.norm(goal - start)
    mask = np.asarray(outcome.forgotten)
    before = np.asarray(outcome.original_train.losses, np.float64)[mask]
    losses = [np.asarray(s.losses, np.float64)[mask] - before for s in (outcome.train, outcome.retrained_train)]
    pearson, spearman = correlations(*losses)
    return {
        "distance": float(distance),
        "relative_distance": float(distance / nothing) if nothing else float("nan"),
        "cosine": _cosine(mine, goal),
        "update_cosine": _cosine(mine - start, goal - start),
        "loss_change_correlation": pearson,
        "loss_change_rank_correlation": spearman,
    } | _alike(outcome)


def _alike(outcome: Outcome) -> dict[str, float]:
    """The agreements and the tug-of-war, without those whose predictions are missing."""
    result, products = {}, []
    everyone = np.ones(0 if outcome.test is None else len(outcome.test.losses), bool)
    for split, mine, theirs, mask in (
        ("forget", outcome.train, outcome.retrained_train, np.asarray(outcome.forgotten)),
        ("retain", outcome.train, outcome.retrained_train, np.asarray(outcome.retained)),
        ("test", outcome.test, outcome.retrained_test, everyone),
    ):
        if mine is None or theirs is None or mine.correct is None or theirs.correct is None:
            continue
        products.append(1 - abs(np.mean(np.asarray(mine.correct)[mask]) - np.mean(np.asarray(theirs.correct)[mask])))
        if split != "retain" and mine.outputs is not None and theirs.outputs is not None:
            result[f"{split}_agreement"] = float(np.mean((_classes(mine) == _classes(theirs))[mask]))
    return result | ({"tug_of_war": float(np.prod(products))} if len(products) == 3 else {})


def _classes(scores: Scores) -> np.ndarray:
    return np.argmax(np.asarray(scores.outputs), axis=-1)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size else float("nan")
