"""Projected noisy steps on convex losses: a noisy chain that contracts."""

import math
from typing import Any, NamedTuple

import optax

from certunl.bounds.constants import HessianFreeConstants
from certunl.bounds.linear_loss import linear_loss
from certunl.bounds.noisy_chain import noisy_chain
from certunl.bounds.rewind import rewind_bound
from certunl.bounds.rounding import longest_noise
from certunl.bounds.steps import batches
from certunl.bounds.theorems._gone import everyone_gone
from certunl.bounds.theorems.assumed import FINITE, constants_for, lacking, step_rounding
from certunl.certificates.guarantee import Assumption, Guarantee
from certunl.certificates.statement import OwnNoise
from certunl.errors import BadInput, one_of, positive
from certunl.training.run import Run

__all__ = ["Curvature", "curvature_of", "noisy_sgd"]

_CONVEX = (
    "low and high: bounds on the Hessian of every example's loss, which must be convex (convexity and smoothness of "
    "assumed=HessianFreeConstants(...); in closed form for softmax and least-squares regression only)"
)
_REFERENCES = {
    "ball": "the same noisy steps from any other model",
    "trained": "training replayed without the request, and the same noisy steps from its end",
}


class Curvature(NamedTuple):
    """low I <= H <= high I for the Hessian of every example's loss; `public`: nobody's data decides them."""

    low: float
    high: float
    status: str
    public: bool


def curvature_of(run: Run, assumed: HessianFreeConstants | str | None) -> Curvature | None:
    """That of the given constants, or in closed form for "linear"; None without any.

    Raises: BadInput for "linear" where there is no closed form.
    """
    if isinstance(assumed, HessianFreeConstants):
        if assumed.convexity is None:
            raise BadInput("noisy SGD contracts for convex losses only: give convexity among the constants")
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
) -> Guarantee:
    """`steps` of w <- v − rate (g(v) + weight_decay v) + N(0, noise² I), v = w projected onto the ball.

    Each step contracts by c = max(|1 − rate (weight_decay + low)|, |1 − rate (weight_decay + high)|), so that
    `bounds.noisy_chain` applies with u twice the rounding of a step.

    Args:
        run: the run before the request.
        gone: the request i32[k], or everyone gone since training as bool[n].
        start: "ball" for steps from the model as it is, z_0 = 2·radius; "trained" for steps from the end of training
            with everyone, z_0 = min(D_T, 2·radius), D_T of `bounds.rewind_bound`.
        noise: standard deviation of each step's noise.
        steps: the number of steps.
        slots: examples in a batch.
        rate: the step size.
        radius: radius of the ball, None without one.
        assumed: `HessianFreeConstants` with convexity, or "linear". None: no theorem.

    Raises: BadInput where a step does not contract, and for "linear" where there is no closed form.
    """
    one_of(_REFERENCES, start=start)
    positive(noise=noise)
    common: dict[str, Any] = {"reference": _REFERENCES[start], "sense": "unlearner", "unchecked": run.problem.unchecked}
    common["from_training"] = start == "trained"
    unproved, curvature = OwnNoise(None, float(noise)), curvature_of(run, assumed)
    if curvature is None:
        return Guarantee(says=unproved, missing=(_CONVEX,), **common)
    decay = run.recipe.weight_decay
    c = max(abs(1 - rate * (decay + h)) for h in (curvature.low, curvature.high))
    if c > 1 + 1e-12:  # 2/high itself is allowed
        most = 2 / (decay + curvature.high)
        raise BadInput(f"learning_rate {rate:g} is too large for a step to contract; it may be at most {most:.4g}")
    begin = 2 * (radius or math.inf)
    rests = [] if radius is None else [("C", radius, "proved", "radius of the ball, projected onto in every step")]
    if start == "trained":
        known = constants_for(run, assumed, ball=True)
        if known is None:
            return Guarantee(says=unproved, missing=lacking(run, assumed, ball=True), **common)
        placed = batches(run, everyone_gone(run, gone))
        _, nothing = rewind_bound(known, **placed, rewound=0, radius=run.recipe.radius)
        status = known.status("gradient_bound", "smoothness", "convexity", "retained_contraction", "rounding")
        rests += [("D_T", nothing, status, "distance of training as it was to training replayed, at most")]
        begin = min(begin, nothing)
    if not math.isfinite(begin):
        return Guarantee(says=unproved, missing=(FINITE,), **common)
    widest = longest_noise(run.params, noise)
    reach = float(optax.tree.norm(run.params)) + widest
    rounding, how = step_rounding(run, assumed, rate=rate, slots=slots, radius=radius, reach=reach)
    if not (radius or 0.0) + widest < 1e15:  # a norm might overflow
        how = "estimated"
    apart, sigma = noisy_chain(
        start=begin, contractions=[c] * steps, shifts=[2 * rounding] * steps, noises=[noise] * steps
    )
    rests += [
        ("z_0", begin, "proved", "distance before the first step, at most, for these constants"),
        ("h", curvature.high, curvature.status, "largest eigenvalue of each example's Hessian, at most"),
        ("c", c, "proved", "contraction of a step, for these constants"),
        ("K", steps, "proved", "noisy steps"),
        ("s", noise, "proved", "noise of each step, fresh"),
        ("rounding", rounding, how, "of one step, in floating point"),
    ]
    return Guarantee(
        says=OwnNoise(apart, sigma),
        every_request=start == "ball" and curvature.public,
        assumptions=tuple(Assumption(symbol, float(value), how, meaning) for symbol, value, how, meaning in rests),
        **common,
    )
