"""How close the model is to true retraining."""

import jax
import numpy as np

from certunl.typing import Outcome, Params

__all__ = ["fidelity"]


def fidelity(outcome: Outcome) -> dict[str, float]:
    """`distance` ‖params − retrained‖; `relative_distance`, that over ‖original − retrained‖ (doing nothing is 1);
    `loss_change_correlation`, Pearson's, over the forgotten examples, of the loss changes from the original model with
    those of retraining (NaN for fewer than three, or where nothing changed)."""
    distance = _distance(outcome.params, outcome.retrained)
    nothing = _distance(outcome.original, outcome.retrained)
    mask = np.asarray(outcome.forgotten)
    before = np.asarray(outcome.original_train.losses, np.float64)[mask]
    change = np.asarray(outcome.train.losses, np.float64)[mask] - before
    truth = np.asarray(outcome.retrained_train.losses, np.float64)[mask] - before
    return {
        "distance": distance,
        "relative_distance": distance / nothing if nothing else float("nan"),
        "loss_change_correlation": _pearson(change, truth),
    }


def _distance(a: Params, b: Params) -> float:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return float(np.sqrt(sum(np.sum((np.asarray(x, np.float64) - np.asarray(y, np.float64)) ** 2) for x, y in pairs)))


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    if len(a) < 3 or not (a.std() > 0 and b.std() > 0):
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
