"""What every method hands back."""

from typing import Any

from certunl.certificate import Update
from certunl.timing import Stopwatch
from certunl.training import Run
from certunl.typing import Params

__all__ = ["updated"]


def updated(
    run: Run, params: Params, watch: Stopwatch, *, cost: dict[str, float] | None = None, **fields: Any
) -> Update:
    """The Update of `run` to `params`: its ball, what its model leaves unchecked, and the seconds on `watch`."""
    return Update(
        params=params,
        radius=run.recipe.radius,
        unchecked=run.problem.unchecked,
        cost={"seconds": watch.seconds, "compile_seconds": watch.compile_seconds, **(cost or {})},
        **fields,
    )
