"""Training as it was up to its last steps, and those without the request, ends near retraining."""

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
    """‖w~ − w'‖ <= Delta of `bounds.rewind_bound`, w~ being training with everyone up to its last `steps`, and those
    without everyone gone.

    Args:
        run: the run before the request.
        gone: the request i32[k], or everyone gone since training as bool[n].
        steps: how many of the schedule's last steps were taken again.
        assumed: the constants of plain SGD without clip_norm, or "linear" for those in closed form. None: no theorem.

    Raises: BadInput for "linear" where there is no closed form.
    """
    common: dict[str, Any] = {"reference": REPLAY, "from_training": True, "unchecked": run.problem.unchecked}
    known = constants_for(run, assumed, ball=True)
    if known is None:
        return Guarantee(says=None, missing=lacking(run, assumed, ball=True), **common)
    placed = batches(run, everyone_gone(run, gone))
    bound, nothing = rewind_bound(known, **placed, rewound=steps, radius=run.recipe.radius)
    if not np.isfinite(bound):
        return Guarantee(says=None, missing=(FINITE,), **common)
    pace = ["smoothness", "convexity"] if known.retained_contraction is None else ["retained_contraction"]
    rests = (
        ("beta", known.smoothness, known.status(*pace), "norm of the Hessian of each example's loss, at most"),
        ("G", known.gradient_bound, known.status("gradient_bound"), "norm of each example's gradient, at most"),
        ("rounding", known.rounding, known.status("rounding"), "of one step, in floating point"),
        ("K", steps, "proved", "steps taken again without the request"),
        ("D_T", nothing, known.status("gradient_bound", *pace), "proved distance of doing nothing, for comparison"),
    )
    assumptions = tuple(Assumption(symbol, float(value), status, meaning) for symbol, value, status, meaning in rests)
    return Guarantee(says=Distance(bound, doing_nothing=nothing), assumptions=assumptions, **common)
