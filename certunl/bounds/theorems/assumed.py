"""The constants that a bound on steps rests on, for one run."""

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

FINITE = "a finite bound: these steps let it grow beyond all numbers; fewer or smaller ones, or weight decay"
_CONSTANTS = (
    "G, beta and M: bounds on gradient, Hessian and the Hessian's Lipschitz constant of every example's loss, wherever "
    "training goes (assumed=HessianFreeConstants(...); in closed form for softmax and least-squares regression only)"
)
_PLAIN = "plain SGD, weights of 0 and 1, no clip_norm{}: no bound on steps is proved for this recipe"


def check_assumed(assumed: HessianFreeConstants | str | None) -> None:
    """Raises BadInput for what no method takes."""
    if not (assumed is None or assumed == "linear" or isinstance(assumed, HessianFreeConstants)):
        raise BadInput(f'assumed must be HessianFreeConstants(...), "linear" or None, got {assumed!r}')


def constants_for(
    run: Run, assumed: HessianFreeConstants | str | None, *, ball: bool = False
) -> HessianFreeConstants | None:
    """`assumed` for `run`, "linear" being those in closed form, the only ones called proved; None without any, and
    where a condition of every bound on steps is seen to fail: plain SGD without clip_norm and (but for `ball`) radius,
    weights of 0 and 1, rates of at least 0, and in closed form parameters that stay finite.

    Raises: BadInput for "linear" where there is no closed form.
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
    """What a theorem would need where `constants_for` has none, in words."""
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
    """Of one step w − rate (g + weight_decay w), g `share` times a mean of `slots` gradients, and of a projection onto
    `radius`, with the status of that number: proved in the ball for "linear", else estimated for norms up to `reach`
    that were met."""
    eps = coarsest(run.params)
    projected = 0.0 if radius is None else radius * clip_rounding(run.params)
    reach = reach if radius is None else radius + projected
    if assumed != "linear":
        return 10 * eps * reach + projected, "estimated"
    limits = {"longest": rate * share, "decayed": 3 * (1 + rate * run.recipe.weight_decay)}
    step = linear_loss(run, "constants").rounding(eps=eps, reach=reach, slots=slots, **limits)
    return step + projected, "estimated" if radius is None else "proved"


def _rounded(run: Run, constants: HessianFreeConstants) -> HessianFreeConstants:
    """The user's constants, none of them proved, with an estimate of rounding where they have none: 10 eps ‖w‖ a step,
    and 10 eps of a vector's norm."""
    eps, largest = coarsest(run.params), max(float(optax.tree.norm(run.start)), float(optax.tree.norm(run.params)))
    guessed = {"rounding": 10 * eps * largest, "product_rounding": 10 * eps}
    guessed = {name: value for name, value in guessed.items() if not getattr(constants, name)}
    return replace(constants, **guessed, estimated=(*constants.estimated, *guessed))
