"""The power of an attack's scores: area under the ROC curve with an interval, and power at few false positives."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy.special import betaincinv

from certunl.errors import BadInput

__all__ = ["FALSE_ALARMS", "Attacked", "judge"]

FALSE_ALARMS = (0.001, 0.01)
"""The false positive rates at which the true positive rate is reported."""


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """The power of one attack on one model.

    Args:
        auc: area under the ROC curve. 1/2 is chance.
        low, high: confidence interval of `auc`, 95% by default and 99.9% for a control.
        tpr_at_0_1: true positive rate at 0.1% false positives, NaN for fewer than 1,000 scored non-members.
        tpr_at_1: true positive rate at 1% false positives, NaN for fewer than 100 scored non-members.
        members, others: number of members and of non-members that were scored.
        fpr, tpr: points of the ROC curve from (0, 0) to (1, 1).
        interval_at_0_1, interval_at_1: confidence intervals of the true positive rates (Clopper and Pearson), 95% or
            99.9% as for `auc`. They take the threshold, which the non-members determine, as it is. NaN where the rate
            is, and in results of earlier versions.
    """

    auc: float
    low: float
    high: float
    tpr_at_0_1: float
    tpr_at_1: float
    members: int
    others: int
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    interval_at_0_1: tuple[float, float] = (math.nan, math.nan)
    interval_at_1: tuple[float, float] = (math.nan, math.nan)

    @property
    def at_chance(self) -> bool:
        """Whether the interval contains 1/2."""
        return self.low <= 0.5 <= self.high


def judge(scores: Any, member: Any, *, confidence: float = 0.95) -> Attacked:
    """The power of `scores f[m]`, higher for members, to separate `member bool[m]` from the others.

    auc = P(score of a member > score of another) + P(equal)/2, with the interval of DeLong et al. 1988 on the logit of
    auc. If the scores separate both groups without error, the interval is that of Clopper and Pearson for as many
    successes as the smaller group has examples. Candidates with the score NaN are left out.
    Raises: BadInput unless at least two members and two others have scores.
    """
    scores, member = np.asarray(scores, np.float64), np.asarray(member, bool)
    scored = ~np.isnan(scores)
    inside, outside = np.sort(scores[scored & member]), np.sort(scores[scored & ~member])
    if min(len(inside), len(outside)) < 2:
        raise BadInput(
            f"an attack needs scores of at least two members and two others, got {len(inside)} and {len(outside)}"
        )
    wins = _below(outside, inside)  # for each member, the share of the others with a lower score
    losses = 1 - _below(inside, outside)
    auc = float(wins.mean())
    error = float(np.sqrt(wins.var(ddof=1) / len(wins) + losses.var(ddof=1) / len(losses)))
    low, high = _interval(auc, error, min(len(inside), len(outside)), confidence)
    thresholds = np.unique(scores[scored])[::-1]
    fpr, tpr = (np.append(0.0, 1 - np.searchsorted(a, thresholds) / len(a)) for a in (outside, inside))
    power = [
        float(tpr[np.searchsorted(fpr, rate + 1e-12, side="right") - 1]) if len(outside) * rate >= 1 else math.nan
        for rate in FALSE_ALARMS
    ]
    intervals = [_share(rate, len(inside), confidence) for rate in power]
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
        interval_at_0_1=intervals[0],
        interval_at_1=intervals[1],
    )


def _below(pool: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each of `values`, the share of the sorted `pool` below it; equal numbers count half."""
    return (np.searchsorted(pool, values, "left") + np.searchsorted(pool, values, "right")) / (2 * len(pool))


def _interval(auc: float, error: float, fewest: int, confidence: float) -> tuple[float, float]:
    """The interval of `auc` with standard error `error`; `fewest` is the size of the smaller group."""
    if error == 0:  # no overlap, or no difference at all
        return _share(auc, fewest, confidence) if auc in (0.0, 1.0) else (auc, auc)
    logit, slope = np.log(auc / (1 - auc)), NormalDist().inv_cdf((1 + confidence) / 2) * error / (auc * (1 - auc))
    low, high = (float(1 / (1 + np.exp(-(logit + side * slope)))) for side in (-1, 1))
    return low, high


def _share(share: float, trials: int, confidence: float) -> tuple[float, float]:
    """The interval of Clopper and Pearson of a `share` of independent `trials`; NaN for NaN."""
    if math.isnan(share):
        return math.nan, math.nan
    hits, error = round(share * trials), (1 - confidence) / 2
    low = betaincinv(hits, trials - hits + 1, error) if hits else 0.0
    high = betaincinv(hits + 1, trials - hits, 1 - error) if hits < trials else 1.0
    return float(low), float(high)


def _corners(fpr: np.ndarray, tpr: np.ndarray, most: int = 400) -> np.ndarray:
    """The indices of the points at which the curve turns, thinned to about `most` but dense at few false positives."""
    turn = np.ones(len(fpr), bool)
    right, up = np.diff(fpr), np.diff(tpr)
    turn[1:-1] = np.abs(right[:-1] * up[1:] - right[1:] * up[:-1]) > 1e-15
    corners = np.flatnonzero(turn)
    if len(corners) > most:
        places = np.unique((np.geomspace(1, len(corners), most) - 1).astype(int))
        corners = corners[np.union1d(places, [0, len(corners) - 1])]
    return corners
