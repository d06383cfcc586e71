"""What every method hands back."""

from typing import Any

from certunl.base import Params
from certunl.certificates.update import Update
from certunl.timing import Stopwatch
from certunl.training.run import Run

__all__ = ["updated"]


def updated(
    run: Run,
    params: Params,
    watch: Stopwatch,
    *,
    cost: dict[str, float] | None = None,
    radius: float | None = None,
    unchecked: tuple[str, ...] = (),
    **fields: Any,
) -> Update:
    """The Update of `run` to `params`: its ball (`radius`, None: the run's), what its model and the method leave
    `unchecked`, and the seconds on `watch`."""
    return Update(
        params=params,
        radius=run.recipe.radius if radius is None else radius,
        unchecked=(*run.problem.unchecked, *unchecked),
        cost={"seconds": watch.seconds, "compile_seconds": watch.compile_seconds, **(cost or {})},
        **fields,
    )
