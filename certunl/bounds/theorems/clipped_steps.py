"""Noisy steps that clip, whatever the loss: gradients (a noisy chain), or the whole model (a clipped chain)."""

import numpy as np

from certunl.bounds.clipped_chain import clipped_chain
from certunl.bounds.noisy_chain import noisy_chain
from certunl.bounds.rounding import clip_rounding, coarsest, longest_noise
from certunl.certificates.guarantee import Assumption, Guarantee
from certunl.certificates.statement import OwnNoise, Pairs
from certunl.errors import BadInput, positive
from certunl.training.run import Run

__all__ = ["EPSILONS", "clipped_gradients", "clipped_models"]

_GRID = (np.arange(1, 10) / 10, np.arange(1.0, 20), np.arange(20.0, 101, 10), np.geomspace(0.01, 1e3, 121))
EPSILONS = np.unique([float(f"{epsilon:.3g}") for part in _GRID for epsilon in part])
"""The epsilons at which `clipped_models` proves a delta."""


def clipped_gradients(
    run: Run, *, radius: float, clip_norm: float, noise: float, steps: int, rate: float, weight_decay: float
) -> Guarantee:
    """`steps` of w <- (1 − rate weight_decay) w − rate clip(g, clip_norm) + N(0, noise² I) from w_0 = clip(w, radius).

    This is a noisy chain (`bounds.noisy_chain`) with z_0 = 2 radius, c = |1 − rate weight_decay| and
    u = 2 rate clip_norm, whatever the gradients g. The reference is the same steps from any other model of the ball.

    Raises: BadInput where rate · weight_decay exceeds 2.
    """
    positive(radius=radius, clip_norm=clip_norm, noise=noise)
    contraction = abs(1 - rate * weight_decay)
    if contraction > 1:
        raise BadInput(f"learning_rate times weight_decay is {rate * weight_decay:.4g}, more than 2: lower one of them")
    relative = clip_rounding(run.params)
    added = rate * clip_norm + longest_noise(run.params, noise)
    powers = steps if contraction == 1 else (1 - contraction**steps) / (1 - contraction)
    longest = 2 * (radius + added * powers)  # twice: rounding adds to the norm as well
    step = 4 * coarsest(run.params) * ((1 + rate * weight_decay) * longest + added)
    apart, sigma = noisy_chain(
        start=2 * radius * (1 + relative),
        contractions=[contraction] * steps,
        shifts=[2 * (rate * clip_norm * (1 + relative) + step)] * steps,
        noises=[noise] * steps,
    )
    rests = (
        ("C", radius, "radius to which the model is clipped before the first step"),
        ("C_1", clip_norm, "norm to which every gradient is clipped"),
        ("c", contraction, "contraction of a step, without its gradient"),
        ("K", steps, "noisy steps"),
        ("s", noise, "noise of each step, fresh"),
        ("rounding", relative, "of a clipped norm, relative"),
        ("of a step", step, "rounding of one step besides, at most"),
    )
    return Guarantee(
        says=OwnNoise(apart, sigma),
        reference=f"the same noisy steps from any other model of norm at most {radius:g}",
        sense="unlearner",
        every_request=True,
        assumptions=tuple(Assumption(symbol, float(value), "proved", meaning) for symbol, value, meaning in rests),
        unchecked=run.problem.unchecked,
    )


def clipped_models(run: Run, *, radius: float, noise: float, steps: int) -> Guarantee:
    """`steps` of w <- clip(m(w), radius) + N(0, noise² I), whatever the maps m (`bounds.clipped_chain`).

    It proves a delta for each of `EPSILONS`. The reference is the same steps from any other model.
    """
    positive(radius=radius, noise=noise)
    relative = clip_rounding(run.params)
    deltas = clipped_chain(EPSILONS, ratio=2 * radius * (1 + relative) / noise, steps=steps)
    rests = (
        ("C", radius, "radius to which the model is clipped in every step"),
        ("K", steps, "noisy steps"),
        ("s", noise, "noise of each step, fresh"),
        ("rounding", relative, "of a clipped norm, relative"),
    )
    return Guarantee(
        says=Pairs(tuple(zip(EPSILONS.tolist(), deltas.tolist(), strict=True)), float(noise)),
        reference="the same noisy steps from any other model",
        sense="unlearner",
        every_request=True,
        assumptions=tuple(Assumption(symbol, float(value), "proved", meaning) for symbol, value, meaning in rests),
        unchecked=run.problem.unchecked,
    )
