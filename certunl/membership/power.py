"""The power of attacks with few shadow models, and the number of them that a run can afford."""

import math
from statistics import NormalDist

import numpy as np
from scipy.special import ndtr

from certunl.errors import whole
from certunl.training.loop import operations
from certunl.training.run import Run

__all__ = ["affordable", "expected_auc", "understatement"]

MANY, FEW = 256, 16
_CHEAP = 1e11
"""Floating-point operations that take about ten seconds on two cores."""


def expected_auc(auc: float, shadows: int) -> float:
    """The expected AUC of a likelihood-ratio attack with s shadow models that has the AUC `auc` with infinitely many.

    An example's margins are N(m + d/2, 1) in models that were trained on it, and N(m − d/2, 1) in the others, so that
    auc = Phi(d/√2). With s/2 models of each kind the score of a margin x is D (x − M), where the estimated difference D
    is N(d, 4/s) and the estimated middle M is N(m, 1/s). For the scores of a member and of another example

        P(member's score is larger) = E Phi((D + D') d / (2 √((1 + 1/s)(D² + D'²)))).

    (D, D') enters only by its angle to the diagonal, whose density is known, so the expectation is an integral over an
    angle. It is the best case, because the variance counts as known and as common to all examples. A variance of its
    own for each example costs more (AUC 0.69 instead of 0.73 at s = 16 and auc = 0.75), and so do laws that differ
    between examples.

    Args:
        auc: the AUC with infinitely many shadow models, at least 1/2 and below 1.
        shadows: s, the number of shadow models, half of them trained on each example.

    >>> [round(expected_auc(0.75, s), 3) for s in (4, 16, 64, 256)]
    [0.658, 0.726, 0.745, 0.749]
    """
    whole(shadows=shadows)
    d = math.sqrt(2) * NormalDist().inv_cdf(auc)
    points = 2000 + int(20 * d * math.sqrt(shadows / 2))  # the density is as narrow as 1/(d √(s/2))
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    along, across = (d * math.sqrt(shadows / 2) * side for side in (np.cos(angle), np.sin(angle)))
    density = np.exp(-(d**2) * shadows / 4) + math.sqrt(2 * np.pi) * along * np.exp(-(across**2) / 2) * ndtr(along)
    return float(np.mean(density * ndtr(d * np.cos(angle) / math.sqrt(2 * (1 + 1 / shadows)))))


def understatement(shadows: int) -> str:
    """A sentence on how much attacks with `shadows` shadow models understate; empty if they are many, or none."""
    shown = expected_auc(0.75, shadows) if shadows else 0.75
    if round(shown, 2) >= 0.75:
        return ""
    return (
        f"{shadows} shadow models understate LiRA and U-LiRA: where {MANY} show an AUC of 0.75, {shadows} show at "
        f"most about {shown:.2f} (for normal margins). RMIA needs fewer"
    )


def affordable(run: Run, forgotten: int) -> int:
    """The number of shadow models if the user names none: 256 if they are cheap, otherwise 16.

    They are cheap if 256 (1 + `forgotten`) trainings take at most 1e11 floating-point operations by XLA's count. The
    number therefore does not depend on the machine.

    Args:
        run: the run; a shadow model is trained as it was.
        forgotten: the number of methods by which every shadow model forgets (U-LiRA). Each counts as one training.
    """
    return MANY if MANY * (1 + forgotten) * operations(run) <= _CHEAP else FEW
