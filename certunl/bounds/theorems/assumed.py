"""The constants of one run on which the bounds for training steps rest."""

from dataclasses import replace
from typing import Any

import numpy as np
import optax

from certunl.bounds.constants import HessianFreeConstants
from certunl.bounds.linear import hessian_free_constants
from certunl.bounds.linear_loss import linear_loss
from certunl.bounds.rounding import clip_rounding, coarsest
from certunl.errors import BadInput, Diverged
from certunl.training.run import Run

__all__ = ["FINITE", "check_assumed", "constants_for", "lacking", "step_rounding"]

FINITE = "a finite bound (for these steps it is infinite; use fewer or smaller steps, or weight decay)"
_CONSTANTS = (
    "the constants G, beta and M of every example's loss, which bound its gradient, its Hessian and the Lipschitz "
    "constant of its Hessian at every point of training (assumed=HessianFreeConstants(...); a closed form exists only "
    "for softmax and least-squares regression)"
)
_PLAIN = (
    "plain SGD with weights of 0 and 1, rates of at least 0, no clip_norm{} "
    "(no bound on steps is proved for this recipe)"
)


def check_assumed(assumed: HessianFreeConstants | str | None) -> None:
    """Raises BadInput unless a method's setting `assumed` is the constants of a theorem, "linear" or None."""
    if not (assumed is None or assumed == "linear" or isinstance(assumed, HessianFreeConstants)):
        raise BadInput(f'assumed must be HessianFreeConstants(...), "linear" or None, got {assumed!r}')


def constants_for(
    run: Run, assumed: HessianFreeConstants | str | None, *, ball: bool = False
) -> HessianFreeConstants | None:
    """The constants of `run` for a bound on training steps, or None.

    "linear" stands for those in closed form, the only ones called proved. The result is None without `assumed`, and
    if a condition of these bounds fails: plain SGD without clip_norm and (unless `ball`) without radius, weights of 0
    and 1, rates of at least 0, and for the closed form parameters that stay finite.

    Raises: BadInput for "linear" if there is no closed form.
    """
    check_assumed(assumed)
    if not _plain(run, ball):
        return None
    if isinstance(assumed, HessianFreeConstants):
        return _rounded(run, assumed)
    try:
        return None if assumed is None else hessian_free_constants(run)
    except Diverged:
        return None


def lacking(run: Run, assumed: HessianFreeConstants | str | None, *, ball: bool = False) -> tuple[str, ...]:
    """A text about the conditions that fail if `constants_for` returns None."""
    if assumed is None:
        return (_CONSTANTS,)
    return (FINITE,) if _plain(run, ball) else (_PLAIN.format("" if ball else ", no radius"),)


def _plain(run: Run, ball: bool) -> bool:
    recipe, schedule = run.recipe, run.schedule
    plain = recipe.optimizer == "sgd" and recipe.clip_norm is None and (ball or recipe.radius is None)
    return plain and bool(np.isin(schedule.weights, (0, 1)).all() and (np.asarray(schedule.rates) >= 0).all())


def step_rounding(
    run: Run, assumed: Any, *, rate: float, slots: int, radius: float | None, reach: float, share: float = 1.0
) -> tuple[float, str]:
    """(the rounding error of one step, the status of that number).

    The step is w − rate (g + weight_decay w), with g `share` times a mean of `slots` gradients, and a projection onto
    `radius`. The number is proved for "linear" in a ball. Otherwise it is estimated, for norms up to the largest
    measured one, `reach`.
    """
    eps = coarsest(run.params)
    projected = 0.0 if radius is None else radius * clip_rounding(run.params)
    reach = reach if radius is None else radius + projected
    if assumed != "linear":
        return 10 * eps * reach + projected, "estimated"
    limits = {"longest": rate * share, "decayed": 3 * (1 + rate * run.recipe.weight_decay)}
    step = linear_loss(run, "constants").rounding(eps=eps, reach=reach, slots=slots, **limits)
    return step + projected, "estimated" if radius is None else "proved"


def _rounded(run: Run, constants: HessianFreeConstants) -> HessianFreeConstants:
    """The user's constants, none of them proved.

    Missing rounding constants are estimated as 10 eps ‖w‖ per step, and as 10 eps of a vector's norm.
    """
    eps, largest = coarsest(run.params), max(float(optax.tree.norm(run.start)), float(optax.tree.norm(run.params)))
    guessed = {"rounding": 10 * eps * largest, "product_rounding": 10 * eps}
    guessed = {name: value for name, value in guessed.items() if not getattr(constants, name)}
    return replace(constants, **guessed, estimated=(*constants.estimated, *guessed))
