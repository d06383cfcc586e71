"""The trained parameters plus the vector of all forgotten examples end near retraining."""

import math
from dataclasses import replace
from typing import Any

import jax
import optax

from certunl.base import Params
from certunl.bounds.constants import HessianFreeConstants
from certunl.bounds.hessian_free import recursive_bound
from certunl.bounds.steps import Steps, batches
from certunl.bounds.theorems._gone import everyone_gone
from certunl.bounds.theorems.assumed import FINITE, constants_for, lacking
from certunl.bounds.uniform import uniform_bound
from certunl.certificates.guarantee import REPLAY, Assumption, Guarantee
from certunl.certificates.statement import Distance
from certunl.errors import BadInput
from certunl.training import sensitivity
from certunl.training.run import Run

__all__ = ["hessian_free", "of_vector"]


def hessian_free(
    run: Run,
    gone: Any,
    params: Params,
    *,
    assumed: HessianFreeConstants | str | None,
    form: str = "first_order",
    capacity: int | None = None,
) -> Guarantee:
    """‖params − w'‖ <= Delta of `bounds.recursive_bound` + ‖params − (w_T + a_gone)‖.

    w' is retraining replayed on the same schedule. a_gone is the derivative of training with respect to the presence
    of all forgotten examples. One pass along the schedule measures the second term.

    Args:
        run: the run before the request, of plain SGD without clip_norm and radius.
        gone: the request i32[k], or all examples forgotten since training as bool[n].
        params: the parameters to be released, from any method.
        assumed: constants of the losses, or "linear" for those in closed form, the only ones called proved. None: no
            theorem.
        form: the recursion that a_gone follows, "first_order" or "retained".
        capacity: the bound holds for every set of at most so many examples, and it allows a thousandth of itself for
            the second term. An update further off gets the bound for these examples alone. Default: the bound for
            these examples alone.

    Raises: BadInput if more examples are forgotten than the capacity, and for "linear" if there is no closed form.
    """
    mask = everyone_gone(run, gone)
    guarantee = of_vector(run, mask, assumed=assumed, form=form, capacity=capacity)
    if guarantee.bound is None:
        return guarantee
    row, trained = sensitivity.vector(run, jax.numpy.asarray(mask), form)
    gap = float(optax.tree.norm(jax.tree.map(lambda p, w, a: p - (w + a), params, trained, row)))
    allowed = _ALLOWED * guarantee.bound
    if capacity is not None and gap > allowed:
        guarantee, capacity = of_vector(run, mask, assumed=assumed, form=form, capacity=None), None
    off = gap if capacity is None else allowed
    rests = Assumption("off", off, "proved", "upper bound on the distance of the update from w_T + a of the theorem")
    says = guarantee.says
    assert isinstance(says, Distance)
    return replace(guarantee, says=replace(says, bound=says.bound + off), assumptions=(*guarantee.assumptions, rests))


def of_vector(
    run: Run, gone: Any, *, assumed: HessianFreeConstants | str | None, form: str, capacity: int | None
) -> Guarantee:
    """The guarantee for w_T + a_gone itself.

    With a capacity it holds for every request only if no constant was measured on the data. The closed form measures
    the largest norm of the inputs, unless the model bounds its inputs.
    """
    constants, mask = constants_for(run, assumed), everyone_gone(run, gone)
    common: dict[str, Any] = {"reference": REPLAY, "from_training": True, "unchecked": run.unchecked}
    if constants is None:
        return Guarantee(says=None, missing=lacking(run, assumed), **common)
    if capacity is not None and mask.sum() > capacity:
        raise BadInput(
            f"{mask.sum()} examples are forgotten, more than the capacity of {capacity}; retrain, and start again"
        )
    steps = batches(run, mask)
    if capacity is None:
        bound, nothing = recursive_bound(constants, **steps, form=form)
    else:
        bound, nothing = uniform_bound(
            constants,
            run.schedule,
            forgotten=capacity,
            weight_decay=run.recipe.weight_decay,
            denominator=run.recipe.denominator,
            form=form,
        )
    if not math.isfinite(bound):
        return Guarantee(says=None, missing=(FINITE,), **common)
    return Guarantee(
        says=Distance(bound, doing_nothing=nothing),
        every_request=capacity is not None and (assumed != "linear" or constants.public),
        assumptions=_assumptions(constants, Steps.of(constants, **steps), nothing, capacity),
        **common,
    )


_ALLOWED = 1e-3  # of the bound, for the distance between an update and the theorem's w_T + a


def _assumptions(
    constants: HessianFreeConstants, steps: Steps, nothing: float, capacity: int | None
) -> tuple[Assumption, ...]:
    """The constants behind the bound, and the proved distance of doing nothing."""
    on = ["gradient_bound", "smoothness", "hessian_lipschitz", "rounding", "product_rounding"]
    pace = ["smoothness", "convexity"] if constants.contraction is None else ["contraction"]
    retained = ["smoothness", "convexity"] if constants.retained_contraction is None else ["retained_contraction"]
    top = max(steps.rho.max(initial=0), steps.rho_kept.max(initial=0))
    rows = (
        ("beta", constants.smoothness, ["smoothness"], "upper bound on the norm of the Hessian of each example's loss"),
        ("M", constants.hessian_lipschitz, ["hessian_lipschitz"], "Lipschitz constant of the Hessian of each loss"),
        ("G", constants.gradient_bound, ["gradient_bound", "gradient_change", "gradient_spread"], _GRADIENT),
        ("mu", constants.convexity, ["convexity"], "lower bound on the eigenvalues of the Hessian of each loss"),
        ("rho", top, pace + retained, "largest contraction of a step, with and without the request"),
        ("rounding", constants.rounding, ["rounding", "product_rounding"], "rounding error of one step"),
        ("m", capacity, None, "number of examples that may be forgotten, for any choice of them"),
        ("D_T", nothing, on + pace + retained, "proved distance of doing nothing, for comparison"),
    )
    return tuple(
        Assumption(symbol, float(value), "proved" if names is None else constants.status(*names), meaning)
        for symbol, value, names, meaning in rows
        if value is not None
    )


_GRADIENT = "upper bound on the gradient norm of each example's loss, at every point of training and retraining"
