"""Gradient descent on the retained risk ends near its minimiser."""

import math
from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from certunl.bounds.constants import NewtonConstants
from certunl.bounds.descent import descent_bound, descent_contraction
from certunl.bounds.linear import linear_constants
from certunl.bounds.linear_loss import linear_loss
from certunl.bounds.theorems._gone import everyone_gone
from certunl.bounds.theorems.assumed import step_rounding
from certunl.certificates.guarantee import Assumption, Guarantee, minimiser
from certunl.certificates.statement import Distance
from certunl.errors import BadInput, one_of
from certunl.training.risk import Risk
from certunl.training.run import Run

__all__ = ["convex_constants", "descent"]


def convex_constants(
    run: Run, gone: Any, assumed: NewtonConstants | str | None
) -> tuple[NewtonConstants | None, float]:
    """(the constants of the retained risk or None, the sum of the retained examples' shares).

    The constants are None, and the sum is 1, without `assumed`.
    Raises: BadInput if no visited example is left, and for "linear" if there is no closed form.
    """
    if assumed is None:
        return None, 1.0
    risk, retained = Risk(run), jnp.asarray(~everyone_gone(run, gone))
    left, visited = int(risk.count(retained)), int(risk.count(jnp.ones_like(retained)))
    if not left:
        raise BadInput("no example that training visited is left; there is nothing to retain")
    share = left / visited if run.recipe.denominator == "batch" else 1.0
    if isinstance(assumed, NewtonConstants):
        return replace(assumed), share  # the copy has no `proved`, which holds only for constants derived for this run
    return linear_constants(run, share), share


def descent(
    run: Run,
    gone: Any,
    *,
    assumed: NewtonConstants | str,
    steps: int,
    rate: float,
    start: str,
    slope: float,
    largest: float,
    rate_given: bool = True,
) -> Guarantee:
    """‖w_K − w*‖ <= q^K D + rounding after K steps w <- project(w − rate grad L(w, retained)).

    See `bounds.descent_bound`.

    Args:
        run: the run before the request.
        gone: the request i32[k], or all examples forgotten since training as bool[n].
        assumed: the constants of a strongly convex risk, or "linear" for those in closed form.
        steps: K.
        rate: the step size.
        start: "ball" for D = 2·radius, the same for every request; "gradient" for D = `slope`/mu.
        slope: ‖grad L(w_0, retained)‖.
        largest: the largest norm of the parameters in the steps.
        rate_given: whether `rate` was fixed before the request, and not derived from constants of the data.

    Raises: BadInput if the steps do not contract, and for "ball" if the recipe has no radius.
    """
    one_of(("ball", "gradient"), start=start)
    constants, share = convex_constants(run, gone, assumed)
    if constants is None:
        raise BadInput('assumed must be NewtonConstants(...) or "linear", because the theorem rests on them; got None')
    mu, L, radius = constants.strong_convexity, constants.smoothness + run.recipe.weight_decay, run.recipe.radius
    q = descent_contraction(learning_rate=rate, strong_convexity=mu, smoothness=L)
    if start == "ball" and radius is None:
        raise BadInput('start="ball" needs a model trained in a ball; set Recipe(radius=...), or start="gradient"')
    sizes = {"slots": len(run.present), "share": share}
    rounding, status = step_rounding(run, assumed, rate=rate, radius=radius, reach=largest, **sizes)
    ball = radius or math.inf
    if start == "ball":
        D, nothing = 2 * ball + rounding, None
        rests = Assumption("C", ball, "proved", "radius of the ball; each step ends with a projection onto it")
    else:
        D = nothing = slope / mu
        rests = Assumption("gradient", slope, "estimated", "gradient norm of the retained risk before the steps")
    return Guarantee(
        says=Distance(descent_bound(distance=D, contraction=q, steps=steps, rounding=rounding), doing_nothing=nothing),
        reference=minimiser(radius),
        sense="minimiser",
        every_request=start == "ball" and rate_given and assumed != "linear",
        from_training=not (rate_given or _public(run, assumed)),
        assumptions=(
            rests,
            Assumption("mu", mu, constants.status("strong_convexity"), "strong convexity of the retained risk"),
            Assumption("L", L, constants.status("smoothness"), "upper bound on the eigenvalues of its Hessian"),
            Assumption("q", q, "proved", "contraction of a step, for these constants"),
            Assumption("rounding", rounding, status, "rounding error of one step"),
        ),
        unchecked=run.unchecked,
    )


def _public(run: Run, assumed: NewtonConstants | str | None) -> bool:
    """Whether the constants that determine the rate were not measured on data, and so not on what was forgotten."""
    return assumed != "linear" or linear_loss(run, "NewtonConstants").public
