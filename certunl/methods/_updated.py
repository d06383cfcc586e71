"""What every method hands back."""

from dataclasses import replace

from certunl.base import Params
from certunl.certificates.guarantee import REPLAY, Guarantee
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
    cost: dict[str, float] | None = None,
    radius: float | None = None,
) -> Update:
    """The Update of `run` to `params`, with the seconds on `watch`.

    Args:
        guarantee: what is proved of it, beside what the model and the data leave unchecked. None: no theorem, and
            retraining is the reference.
        cost: other facts that are worth keeping.
        radius: radius of the ball (default: the run's).
    """
    guarantee = guarantee or Guarantee(says=None, reference=REPLAY)
    unchecked = tuple(dict.fromkeys((*run.problem.unchecked, *guarantee.unchecked)))
    return Update(
        params=params,
        method=method,
        guarantee=replace(guarantee, unchecked=unchecked),
        radius=run.recipe.radius if radius is None else radius,
        cost={"seconds": watch.seconds, "compile_seconds": watch.compile_seconds, **(cost or {})},
    )
