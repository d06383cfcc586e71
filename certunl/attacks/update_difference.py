"""An attack on two models, before and after forgetting: the change reveals the forgotten examples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np

from certunl.base import Key
from certunl.errors import one_of
from certunl.membership.target import Target
from certunl.training.problem import Scores

__all__ = ["UpdateDifference"]

FEATURES = ("direct_difference", "sorted_difference", "direct_concatenation", "sorted_concatenation", "l2")
ATTACKERS = ("logistic", "tree", "forest", "mlp")


@dataclass(frozen=True, kw_only=True)
class UpdateDifference:
    """The score of a classifier whose inputs are the class probabilities of the original and the judged model.

    The classifier is trained on half of the members and half of the others, and scores the rest. An attacker with both
    models detects exact retraining as well, so compare with the row of retraining.

    Args:
        features: "direct_difference" or "sorted_difference" of the probabilities, "direct_concatenation" or
            "sorted_concatenation" of both, or "l2", the norm of the difference. "sorted" puts the classes in the order
            of the original model's probabilities.
        attacker: the classifier, "logistic" regression, "tree", "forest" or "mlp", a small network.

    Source: Chen et al. 2021; the "MIA-U" of Qiao et al. 2025.  Differs: the attacker knows half of the target's own
    members (Chen et al. train it on shadow pairs); classes are balanced; the scored examples are not those of its
    training (the code of Qiao et al. scores its own training rows).
    """

    features: str = "sorted_concatenation"
    attacker: str = "logistic"
    needs: ClassVar[str] = "model"

    def __post_init__(self) -> None:
        one_of(FEATURES, features=self.features)
        one_of(ATTACKERS, attacker=self.attacker)

    def __call__(self, target: Target, key: Key) -> np.ndarray:
        """The scores f[m], NaN for the half in training; `key` draws the halves and the attacker's seed."""
        before, after = _probabilities(target.original), _probabilities(target.scores)
        rows, member = _features(before, after, self.features), np.asarray(target.member)
        seed = int(jax.random.bits(key, dtype=np.uint32))
        generator = np.random.default_rng(seed)
        half = np.zeros(len(member), bool)
        for side in (np.flatnonzero(member), np.flatnonzero(~member)):
            half[generator.permutation(side)[: len(side) // 2]] = True
        scores = np.full(len(member), np.nan)
        if np.ptp(rows, axis=0).max(initial=0) == 0:
            scores[~half] = 0.0  # all candidates have the same features, so there is nothing to learn
            return scores
        fitted = _attacker(self.attacker, seed % 2**31).fit(rows[half], member[half])
        scores[~half] = fitted.predict_proba(rows[~half])[:, 1]
        return scores


def _probabilities(scores: Scores) -> np.ndarray:
    """The class probabilities f[m, c], or −loss f[m, 1] without classes."""
    if scores.outputs is None:
        return np.asarray(scores.likelihoods(), np.float64)[:, None]
    return np.nan_to_num(np.asarray(jax.nn.softmax(scores.outputs, axis=-1), np.float64))


def _features(before: np.ndarray, after: np.ndarray, kind: str) -> np.ndarray:
    if kind.startswith("sorted"):
        order = np.argsort(before, axis=1)
        before, after = (np.take_along_axis(a, order, axis=1) for a in (before, after))
    if kind.endswith("concatenation"):
        return np.concatenate([before, after], axis=1)
    difference = before - after
    return np.linalg.norm(difference, axis=1, keepdims=True) if kind == "l2" else difference


def _attacker(name: str, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    kinds: dict[str, Callable[[], Any]] = {
        "logistic": lambda: LogisticRegression(max_iter=400),
        "tree": lambda: DecisionTreeClassifier(max_leaf_nodes=20, random_state=seed),
        "forest": lambda: RandomForestClassifier(min_samples_leaf=5, random_state=seed),
        "mlp": lambda: MLPClassifier((32,), learning_rate_init=0.01, max_iter=300, random_state=seed),
    }
    return make_pipeline(StandardScaler(), kinds[name]())
