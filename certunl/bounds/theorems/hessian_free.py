"""Where a theorem of `bounds/` speaks of a Hessian-free update, what it says."""

import math
from typing import Any

import jax
import numpy as np
import optax

from certunl.base import Params
from certunl.bounds.constants import HessianFreeConstants
from certunl.bounds.hessian_free import recursive_bound
from certunl.bounds.steps import Steps, batches
from certunl.bounds.theorems.assumed import FINITE, constants_for, lacking
from certunl.bounds.uniform import uniform_bound
from certunl.certificates.guarantee import Assumption
from certunl.errors import BadInput
from certunl.training import sensitivity
from certunl.training.run import Run

__all__ = ["distance", "theorem"]


def distance(
    run: Run, gone: Any, constants: HessianFreeConstants | str | None, form: str, capacity: int | None
) -> dict[str, Any]:
    """The fields of Update that a theorem fills for everyone `gone bool[n]` since training; only `missing` where a
    condition of it is seen to fail: plain SGD without clip_norm and radius, weights of 0 and 1, and a finite bound.

    `constants` "linear" are those in closed form, the only ones called proved. With `capacity` the bound is the one for
    every set of at most so many, else the one for these; `uniform` (noise may depend on it) only where no constant was
    measured on the data, as the closed form's largest norm is unless the model bounds its inputs. What it takes for
    granted: that the update is training's parameters plus the vector of `gone` in this `form` ("first_order", the rows;
    "retained"), and nothing else.
    Raises: BadInput where more are gone than the capacity, and for "linear" where there is no closed form.
    """
    known, gone = constants_for(run, constants), np.asarray(gone, bool)
    if known is None:
        return {"missing": lacking(run, constants)}
    if capacity is not None and gone.sum() > capacity:
        raise BadInput(
            f"{gone.sum()} examples are gone, the capacity that was promised is {capacity}: retrain, and start again"
        )
    placed = batches(run, gone)
    if capacity is None:
        bound, nothing = recursive_bound(known, **placed, form=form)
    else:
        bound, nothing = uniform_bound(
            known,
            run.schedule,
            forgotten=capacity,
            weight_decay=run.recipe.weight_decay,
            denominator=run.recipe.denominator,
            form=form,
        )
    if not math.isfinite(bound):
        return {"missing": (FINITE,)}
    return {
        "bound": bound,
        "assumptions": _assumptions(known, Steps.of(known, **placed), nothing, capacity),
        "uniform": capacity is not None and (constants != "linear" or known.public),
        "nothing": nothing,
    }


def theorem(
    run: Run, gone: Any, params: Params, constants: HessianFreeConstants | str | None, form: str, capacity: int | None
) -> dict[str, Any]:
    """The same for an update to `params`, however it came about: ‖params − (w_T + a_gone)‖ is measured, by one pass
    along the schedule, and added to the bound. With `capacity` a thousandth of the bound is added instead, whoever
    asks; an update that is further off gets the bound for these examples alone."""
    fields = distance(run, gone, constants, form, capacity)
    if "bound" not in fields:
        return fields
    row, trained = sensitivity.vector(run, jax.numpy.asarray(gone), form)
    gap = float(optax.tree.norm(jax.tree.map(lambda p, w, a: p - (w + a), params, trained, row)))
    allowed = _ALLOWED * fields["bound"]
    if capacity is not None and gap > allowed:
        fields, capacity = distance(run, gone, constants, form, None), None
    off = gap if capacity is None else allowed
    told = Assumption("off", off, "proved", "distance of the update from what the theorem speaks of, at most")
    return fields | {"bound": fields["bound"] + off, "assumptions": (*fields["assumptions"], told)}


_ALLOWED = 1e-3


def _assumptions(
    constants: HessianFreeConstants, steps: Steps, nothing: float, capacity: int | None
) -> tuple[Assumption, ...]:
    """What the bound rests on, and what doing nothing is proved to cost."""
    on = ["gradient_bound", "smoothness", "hessian_lipschitz", "rounding", "product_rounding"]
    pace = ["smoothness", "convexity"] if constants.contraction is None else ["contraction"]
    kept = ["smoothness", "convexity"] if constants.retained_contraction is None else ["retained_contraction"]
    top = max(steps.rho.max(initial=0), steps.rho_kept.max(initial=0))
    said = (
        ("beta", constants.smoothness, ["smoothness"], "norm of the Hessian of each example's loss, at most"),
        ("M", constants.hessian_lipschitz, ["hessian_lipschitz"], "Lipschitz constant of the Hessian of each loss"),
        ("G", constants.gradient_bound, ["gradient_bound", "gradient_change", "gradient_spread"], _GRADIENT),
        ("mu", constants.convexity, ["convexity"], "smallest eigenvalue of the Hessian of each loss, at least"),
        ("rho", top, pace + kept, "largest contraction of a step, with and without the request"),
        ("rounding", constants.rounding, ["rounding", "product_rounding"], "of one step, in floating point"),
        ("m", capacity, None, "examples that may be gone, whoever they are"),
        ("D_T", nothing, on + pace + kept, "proved distance of doing nothing, for comparison"),
    )
    return tuple(
        Assumption(symbol, float(value), "proved" if names is None else constants.status(*names), meaning)
        for symbol, value, names, meaning in said
        if value is not None
    )


_GRADIENT = "norm of the gradient of each example's loss, at most, wherever training and retraining go"
