"""What an attack's scores are worth: area under the ROC curve with its interval, and power at few false alarms."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from certunl.errors import BadInput

__all__ = ["FALSE_ALARMS", "Attacked", "judge"]

FALSE_ALARMS = (0.001, 0.01)
"""The false positive rates at which the true positive rate is told."""


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """One attack on one model: `auc` (1/2 is chance) and its interval `low` to `high` (95%; 99.9% for a control);
    `tpr_at_0_1` and `tpr_at_1`, the true positive rates at 0.1% and 1% false positives (NaN where so few non-members
    cannot tell: 1,000 and 100 are needed); how many `members` and `others` were scored; the curve, `fpr` and `tpr` from
    (0, 0) to (1, 1)."""

    auc: float
    low: float
    high: float
    tpr_at_0_1: float
    tpr_at_1: float
    members: int
    others: int
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]

    @property
    def at_chance(self) -> bool:
        """Whether the interval holds 1/2."""
        return self.low <= 0.5 <= self.high


def judge(scores: Any, member: Any, *, confidence: float = 0.95) -> Attacked:
    """How well `scores f[m]` (higher means «was in») tell those that are `member bool[m]`; who has NaN is left out.

    auc = P(score of a member > score of another) + P(equal)/2, with the interval of DeLong et al. 1988 on the logit of
    auc; where none is mistaken, Clopper and Pearson's of as many successes as the smaller group has.
    Raises: BadInput where there are not two members and two others.
    """
    scores, member = np.asarray(scores, np.float64), np.asarray(member, bool)
    told = ~np.isnan(scores)
    inside, outside = np.sort(scores[told & member]), np.sort(scores[told & ~member])
    if min(len(inside), len(outside)) < 2:
        raise BadInput(f"an attack needs two members and two others, got {len(inside)} and {len(outside)}")
    wins = _below(outside, inside)  # of each member, the share of the others that it beats
    losses = 1 - _below(inside, outside)
    auc = float(wins.mean())
    error = float(np.sqrt(wins.var(ddof=1) / len(wins) + losses.var(ddof=1) / len(losses)))
    low, high = _interval(auc, error, min(len(inside), len(outside)), confidence)
    thresholds = np.unique(scores[told])[::-1]
    fpr, tpr = (np.append(0.0, 1 - np.searchsorted(a, thresholds) / len(a)) for a in (outside, inside))
    power = [
        float(tpr[np.searchsorted(fpr, rate + 1e-12, side="right") - 1]) if len(outside) * rate >= 1 else float("nan")
        for rate in FALSE_ALARMS
    ]
    corner = _corners(fpr, tpr)
    return Attacked(
        auc=auc,
        low=low,
        high=high,
        tpr_at_0_1=power[0],
        tpr_at_1=power[1],
        members=len(inside),
        others=len(outside),
        fpr=tuple(fpr[corner].tolist()),
        tpr=tuple(tpr[corner].tolist()),
    )


def _below(pool: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of each of `values`, the share of the sorted `pool` below it, equals counted half."""
    return (np.searchsorted(pool, values, "left") + np.searchsorted(pool, values, "right")) / (2 * len(pool))


def _interval(auc: float, error: float, fewest: int, confidence: float) -> tuple[float, float]:
    """`fewest` of members and others."""
    if error == 0:  # no overlap, or no difference at all
        least = ((1 - confidence) / 2) ** (1 / fewest)
        return {1.0: (least, 1.0), 0.0: (0.0, 1 - least)}.get(auc, (auc, auc))
    logit, slope = np.log(auc / (1 - auc)), NormalDist().inv_cdf((1 + confidence) / 2) * error / (auc * (1 - auc))
    low, high = (float(1 / (1 + np.exp(-(logit + side * slope)))) for side in (-1, 1))
    return low, high


def _corners(fpr: np.ndarray, tpr: np.ndarray, most: int = 400) -> np.ndarray:
    """Which points draw the curve: where it turns, thinned to about `most` but dense at few false alarms."""
    turn = np.ones(len(fpr), bool)
    right, up = np.diff(fpr), np.diff(tpr)
    turn[1:-1] = np.abs(right[:-1] * up[1:] - right[1:] * up[:-1]) > 1e-15
    kept = np.flatnonzero(turn)
    if len(kept) > most:
        places = np.unique((np.geomspace(1, len(kept), most) - 1).astype(int))
        kept = kept[np.union1d(places, [0, len(kept) - 1])]
    return kept
