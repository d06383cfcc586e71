"""Two models, before and after: what forgetting changed tells whom it was about."""

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
    """A classifier of the class probabilities that the original and the judged model give: it learns from half of the
    members and half of the others and scores the other half.

    `features`: the difference, or both side by side («concatenation»), as they stand («direct») or in the order of the
    original's («sorted»); or ‖difference‖ («l2»). `attacker`: a logistic regression, tree, forest or small network. An
    attacker with both models sees exact retraining too; compare with its row.
    Source: Chen et al. 2021; the «MIA-U» of Qiao et al. 2025.  Differs: the attacker is told half of the target's own
    members (Chen et al. train it on shadow pairs); balanced classes, and scored on other examples than those learnt
    from (the code of Qiao et al. scores its own training rows).
    """

    features: str = "sorted_concatenation"
    attacker: str = "logistic"
    needs: ClassVar[str] = "model"

    def __post_init__(self) -> None:
        one_of(FEATURES, features=self.features)
        one_of(ATTACKERS, attacker=self.attacker)

    def __call__(self, target: Target, key: Key) -> np.ndarray:
        """f[m], NaN for the half learnt from; `key` draws the halves and the attacker's seed."""
        before, after = _probabilities(target.original), _probabilities(target.scores)
        rows, member = _features(before, after, self.features), np.asarray(target.member)
        seed = int(jax.random.bits(key, dtype=np.uint32))
        generator = np.random.default_rng(seed)
        learnt = np.zeros(len(member), bool)
        for side in (np.flatnonzero(member), np.flatnonzero(~member)):
            learnt[generator.permutation(side)[: len(side) // 2]] = True
        scores = np.full(len(member), np.nan)
        if np.ptp(rows, axis=0).max(initial=0) == 0:
            scores[~learnt] = 0.0  # nothing to learn from: no candidate differs from another
            return scores
        fitted = _attacker(self.attacker, seed % 2**31).fit(rows[learnt], member[learnt])
        scores[~learnt] = fitted.predict_proba(rows[~learnt])[:, 1]
        return scores


def _probabilities(scores: Scores) -> np.ndarray:
    """f[m, c]; without classes the loss alone."""
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
