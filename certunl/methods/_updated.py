"""The Update that a method returns."""

from dataclasses import replace

import numpy as np

from certunl.base import Params
from certunl.bounds.theorems import noisy_features
from certunl.certificates.guarantee import AFRESH, REPLAY, Guarantee
from certunl.certificates.update import Update
from certunl.timing import Stopwatch
from certunl.training.run import Run

__all__ = ["updated"]


def updated(
    run: Run,
    params: Params,
    watch: Stopwatch,
    method: str,
    guarantee: Guarantee | None = None,
    *,
    request: np.ndarray | None = None,
    cost: dict[str, float] | None = None,
    radius: float | None = None,
) -> Update:
    """The Update of `run` to `params`, with the seconds measured by `watch`.

    The conditions that the run leaves unchecked are added to the guarantee, and its number of examples.

    Args:
        guarantee: the statement that is proved of the update. None: no theorem, and retraining is the reference.
        request: i32[k], for methods with a theorem: the forgotten, whose price in the training of features is added.
        cost: further entries of `Update.cost`.
        radius: radius of the ball. Default: the run's.
    """
    if method != "retrain":
        run.need_one_model(method)
    guarantee = guarantee or Guarantee(says=None, reference=REPLAY)
    if guarantee.reference == REPLAY and not run.replayable:  # nothing can be replayed
        guarantee = replace(guarantee, reference=AFRESH)
    unchecked = tuple(dict.fromkeys((*run.unchecked, *guarantee.unchecked)))
    guarantee = replace(guarantee, unchecked=unchecked, examples=int(np.sum(run.present)))
    guarantee = noisy_features(run, request, guarantee)
    return Update(
        params=params,
        method=method,
        guarantee=guarantee,
        radius=run.recipe.radius if radius is None else radius,
        cost={"seconds": watch.seconds, "compile_seconds": watch.compile_seconds, **(cost or {})},
    )
