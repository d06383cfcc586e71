"""Projected noisy steps on convex losses: a noisy chain that contracts."""

import math
from typing import Any, NamedTuple

import optax

from certunl.bounds.constants import HessianFreeConstants
from certunl.bounds.linear_loss import linear_loss
from certunl.bounds.noisy_chain import noisy_chain
from certunl.bounds.rewind import rewind_bound
from certunl.bounds.rounding import coarsest, grid_distance, longest_noise
from certunl.bounds.steps import batches
from certunl.bounds.theorems._gone import everyone_gone
from certunl.bounds.theorems.assumed import FINITE, constants_for, lacking, step_rounding
from certunl.certificates.guarantee import Assumption, Guarantee
from certunl.certificates.statement import OwnNoise
from certunl.errors import BadInput, one_of, positive
from certunl.training.run import Run

__all__ = ["Curvature", "curvature_of", "noisy_sgd"]

_CONVEX = (
    "the constants low and high, which bound the Hessian of every example's loss; the losses must be convex "
    "(convexity and smoothness of assumed=HessianFreeConstants(...); a closed form exists only for softmax and "
    "least-squares regression)"
)
_BALL = "a ball (radius), because the steps may start from any model of it"
_REFERENCES = {
    "ball": "the same noisy steps from any other model",
    "trained": "training replayed without the request, and the same noisy steps from its end",
}


class Curvature(NamedTuple):
    """low I <= H <= high I for the Hessian H of every example's loss.

    Args:
        low: lower bound on its eigenvalues.
        high: upper bound on its eigenvalues.
        status: "proved", "given" or "estimated".
        public: whether the bounds do not depend on anyone's data.
    """

    low: float
    high: float
    status: str
    public: bool


def curvature_of(run: Run, assumed: HessianFreeConstants | str | None) -> Curvature | None:
    """The curvature from the given constants, or in closed form for "linear". None without `assumed`.

    Raises: BadInput for constants without convexity, and for "linear" if there is no closed form.
    """
    if isinstance(assumed, HessianFreeConstants):
        if assumed.convexity is None:
            raise BadInput("noisy SGD contracts for convex losses only; give convexity among the constants")
        status = "estimated" if {"convexity", "smoothness"} & set(assumed.estimated) else "given"
        return Curvature(assumed.convexity, assumed.smoothness, status, True)
    if assumed is None:
        return None
    loss = linear_loss(run, "HessianFreeConstants")
    return Curvature(loss.l2, loss.l2 + loss.smoothness, "proved", loss.public)


def noisy_sgd(
    run: Run,
    gone: Any,
    *,
    start: str,
    noise: float,
    steps: int,
    slots: int,
    rate: float,
    radius: float | None,
    assumed: HessianFreeConstants | str | None,
    spacing: float,
) -> Guarantee:
    """`steps` of w <- v − rate (g(v) + weight_decay v) + N(0, noise² I), with v = w projected onto the ball.

    Each step contracts by c = max(|1 − rate (weight_decay + low)|, |1 − rate (weight_decay + high)|). So
    `bounds.noisy_chain` applies, with u = 2 rounding + (1 + c) g √d for the rounding error of a step and the grid g.

    Args:
        run: the run before the request.
        gone: the request i32[k], or all examples forgotten since training as bool[n].
        start: "ball" for steps from the current model, z_0 = 2·radius; "trained" for steps from the end of the
            original training, z_0 = min(D_T, 2·radius) with D_T of `bounds.rewind_bound`.
        noise: standard deviation of each step's noise.
        steps: the number of steps.
        slots: examples in a batch.
        rate: the step size.
        radius: radius of the ball, None without one.
        spacing: the grid g of the noise; a step is round_g(...) + g n (`certificates.noise.step_grid`).
        assumed: `HessianFreeConstants` with convexity, or "linear". None: no theorem.

    Raises: BadInput if a step does not contract, for constants without convexity, and for "linear" if there is no
    closed form.
    """
    one_of(_REFERENCES, start=start)
    positive(noise=noise)
    noise, rate, radius = float(noise), float(rate), None if radius is None else float(radius)
    common: dict[str, Any] = {"reference": _REFERENCES[start], "sense": "unlearner", "unchecked": run.unchecked}
    common["from_training"] = start == "trained"
    unproved, curvature = OwnNoise(None, float(noise)), curvature_of(run, assumed)
    if curvature is None:
        return Guarantee(says=unproved, missing=(_CONVEX,), **common)
    decay = run.recipe.weight_decay
    c = max(abs(1 - rate * (decay + h)) for h in (curvature.low, curvature.high))
    if c > 1 + 1e-12:  # the largest rate itself is allowed, although c may then be rounded up
        most = 2 / (decay + curvature.high)
        raise BadInput(f"learning_rate {rate:g} is too large for a step to contract; it may be at most {most:.4g}")
    begin = 2 * (radius or math.inf)
    rests = [] if radius is None else [("C", radius, "proved", "radius of the ball; each step projects onto it")]
    if start == "trained":
        constants = constants_for(run, assumed, ball=True)
        if constants is None:
            return Guarantee(says=unproved, missing=lacking(run, assumed, ball=True), **common)
        schedule = batches(run, everyone_gone(run, gone))
        _, nothing = rewind_bound(constants, **schedule, rewound=0, radius=run.recipe.radius)
        status = constants.status("gradient_bound", "smoothness", "convexity", "retained_contraction", "rounding")
        meaning = "upper bound on the distance of the original training from its replay without the request"
        rests += [("D_T", nothing, status, meaning)]
        begin = min(begin, nothing)
    if not math.isfinite(begin):
        return Guarantee(says=unproved, missing=(FINITE if start == "trained" else _BALL,), **common)
    widest = longest_noise(run.params, noise, spacing)
    reach = float(optax.tree.norm(run.params)) + widest
    rounding, how = step_rounding(run, assumed, rate=rate, slots=slots, radius=radius, reach=reach)
    rounding += _conversion(run, assumed, rate=rate, reach=radius or reach, widest=widest)
    if not (radius or 0.0) + widest < 1e15:  # beyond this a norm might overflow
        how = "estimated"
    cell = grid_distance(run.params, spacing)
    apart, sigma = noisy_chain(
        start=begin,
        contractions=[c] * steps,
        shifts=[2 * rounding + (1 + c) * cell] * steps,
        noises=[noise] * steps,
    )
    rests += [
        ("z_0", begin, "proved", "upper bound on the distance before the first step, for these constants"),
        ("h", curvature.high, curvature.status, "upper bound on the eigenvalues of each example's Hessian"),
        ("c", c, "proved", "contraction of a step, for these constants"),
        ("K", steps, "proved", "number of noisy steps"),
        ("s", noise, "proved", "standard deviation of the fresh noise of each step"),
        ("rounding", rounding, how, "rounding error of one step"),
        ("g √d", cell, "proved", "distance added by rounding to the grid of the noise"),
    ]
    return Guarantee(
        says=OwnNoise(apart, sigma),
        every_request=start == "ball" and curvature.public,
        assumptions=tuple(Assumption(symbol, float(value), how, meaning) for symbol, value, how, meaning in rests),
        **common,
    )


def _conversion(
    run: Run, assumed: HessianFreeConstants | str | None, *, rate: float, reach: float, widest: float
) -> float:
    """The error of reading parameters off their integers of cells. Integers below 2^53 are exact in float64.

    Centres have norm at most W + rate (G + weight_decay W) for ‖v‖ <= W = `reach`, and the noise adds `widest`.
    """
    eps = coarsest(run.params)
    if eps <= 2.0**-52:
        return 0.0
    if isinstance(assumed, HessianFreeConstants):
        slope = assumed.gradient_bound
    else:
        loss = linear_loss(run, "HessianFreeConstants")
        slope = loss.of_data(reach) + loss.l2 * reach
    return eps * (reach + rate * (slope + run.recipe.weight_decay * reach) + widest)
