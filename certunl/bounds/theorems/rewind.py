"""The original training up to its last steps, followed by those steps without the request, ends near retraining."""

from typing import Any

import numpy as np

from certunl.bounds.constants import HessianFreeConstants
from certunl.bounds.rewind import rewind_bound
from certunl.bounds.steps import batches
from certunl.bounds.theorems._gone import everyone_gone
from certunl.bounds.theorems.assumed import FINITE, constants_for, lacking
from certunl.certificates.guarantee import REPLAY, Assumption, Guarantee
from certunl.certificates.statement import Distance
from certunl.training.run import Run

__all__ = ["rewind"]


def rewind(run: Run, gone: Any, *, steps: int, assumed: HessianFreeConstants | str | None) -> Guarantee:
    """‖w~ − w'‖ <= Delta of `bounds.rewind_bound`.

    w~ is the original training up to its last `steps`, followed by those steps without all forgotten examples.

    Args:
        run: the run before the request.
        gone: the request i32[k], or all examples forgotten since training as bool[n].
        steps: the number of the schedule's last steps that were repeated.
        assumed: the constants of plain SGD without clip_norm, or "linear" for those in closed form. None: no theorem.

    Raises: BadInput for "linear" if there is no closed form.
    """
    common: dict[str, Any] = {"reference": REPLAY, "from_training": True, "unchecked": run.unchecked}
    constants = constants_for(run, assumed, ball=True)
    if constants is None:
        return Guarantee(says=None, missing=lacking(run, assumed, ball=True), **common)
    schedule = batches(run, everyone_gone(run, gone))
    bound, nothing = rewind_bound(constants, **schedule, rewound=steps, radius=run.recipe.radius)
    if not np.isfinite(bound):
        return Guarantee(says=None, missing=(FINITE,), **common)
    pace = ["smoothness", "convexity"] if constants.retained_contraction is None else ["retained_contraction"]
    status = constants.status
    rests = (
        ("beta", constants.smoothness, status(*pace), "upper bound on the norm of the Hessian of each example's loss"),
        ("G", constants.gradient_bound, status("gradient_bound"), "upper bound on each example's gradient norm"),
        ("rounding", constants.rounding, status("rounding"), "rounding error of one step"),
        ("K", steps, "proved", "number of steps repeated without the request"),
        ("D_T", nothing, status("gradient_bound", *pace), "proved distance of doing nothing, for comparison"),
    )
    assumptions = tuple(Assumption(symbol, float(value), how, meaning) for symbol, value, how, meaning in rests)
    return Guarantee(says=Distance(bound, doing_nothing=nothing), assumptions=assumptions, **common)
