"""How close the model is to true retraining."""

import jax
import numpy as np

from certunl.typing import Outcome, Params, Scores

__all__ = ["fidelity"]


def fidelity(outcome: Outcome) -> dict[str, float]:
    """Distances, correlations and agreements with the retrained model; their ideal in brackets, and «-» (NaN) where
    there is nothing to compare.

    `distance` ‖params − retrained‖ (0); `relative_distance`, that over ‖original − retrained‖ (0; doing nothing is 1);
    `cosine` of the parameters (1) and `update_cosine` of what forgetting and retraining changed (1);
    `loss_change_correlation`, Pearson's, and `loss_change_rank_correlation`, Spearman's, over the forgotten examples,
    of the loss changes from the original model with those of retraining (1; three examples at least);
    `forget_agreement`, `test_agreement`: how often both models predict the same class (1);
    `tug_of_war`, the product over forgotten, retained and test examples of 1 − |accuracy − retrained accuracy| (1).
    Source: tug-of-war Zhao et al. 2024 (ToW).
    """
    changes = [_difference(other, outcome.original) for other in (outcome.params, outcome.retrained)]
    whole = [_vector(tree) for tree in (outcome.params, outcome.retrained)]
    distance, nothing = np.linalg.norm(whole[0] - whole[1]), np.linalg.norm(changes[1])
    mask = np.asarray(outcome.forgotten)
    before = np.asarray(outcome.original_train.losses, np.float64)[mask]
    losses = [np.asarray(s.losses, np.float64)[mask] - before for s in (outcome.train, outcome.retrained_train)]
    return {
        "distance": float(distance),
        "relative_distance": float(distance / nothing) if nothing else float("nan"),
        "cosine": _cosine(*whole),
        "update_cosine": _cosine(*changes),
        "loss_change_correlation": _pearson(*losses),
        "loss_change_rank_correlation": _spearman(*losses),
    } | _alike(outcome)


def _alike(outcome: Outcome) -> dict[str, float]:
    """What both models predict."""
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
        if split != "retain":
            result[f"{split}_agreement"] = float(np.mean((_classes(mine) == _classes(theirs))[mask]))
    return result | ({"tug_of_war": float(np.prod(products))} if len(products) == 3 else {})


def _classes(scores: Scores) -> np.ndarray:
    return np.argmax(np.asarray(scores.outputs), axis=-1)


def _vector(tree: Params) -> np.ndarray:
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


def _difference(a: Params, b: Params) -> np.ndarray:
    return _vector(a) - _vector(b)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size else float("nan")


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    if len(a) < 3 or not (a.std() > 0 and b.std() > 0):
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    from scipy.stats import rankdata  # takes a second to import

    return _pearson(rankdata(a), rankdata(b))
