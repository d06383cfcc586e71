"""Noisy steps that clip, for any loss: they clip gradients (a noisy chain) or the whole model (a clipped chain)."""

import numpy as np

from certunl.bounds.clipped_chain import clipped_chain
from certunl.bounds.noisy_chain import noisy_chain
from certunl.bounds.rounding import clip_rounding, coarsest, grid_distance, longest_noise
from certunl.certificates.guarantee import Assumption, Guarantee
from certunl.certificates.statement import OwnNoise, Pairs
from certunl.errors import BadInput, positive
from certunl.training.run import Run

__all__ = ["EPSILONS", "clipped_gradients", "clipped_models"]

_GRID = (np.arange(1, 10) / 10, np.arange(1.0, 20), np.arange(20.0, 101, 10), np.geomspace(0.01, 1e3, 121))
EPSILONS = np.unique([float(f"{epsilon:.3g}") for part in _GRID for epsilon in part])
"""The epsilons at which `clipped_models` proves a delta."""


def clipped_gradients(
    run: Run,
    *,
    radius: float,
    clip_norm: float,
    noise: float,
    steps: int,
    rate: float,
    weight_decay: float,
    spacing: float,
) -> Guarantee:
    """`steps` of w <- round_g((1 − rate weight_decay) w − rate clip(grad, clip_norm)) + g n.

    The first w is clip(w, radius). g n is Gaussian noise of variance noise², rounded to the grid g of
    `certificates.noise`. For any gradients, this is a noisy chain (`bounds.noisy_chain`), rounded, with
    c = |1 − rate weight_decay|, z_0 = 2 radius and u = 2 rate clip_norm + (1 + c) g √d. The reference is the
    same steps from any other model of the ball.

    Proof: let Y_t = round_g(F(round_g(Y_{t−1}))) + noise Z. The state of the program is round_g(Y_t), because its
    centres lie on the grid. Rounding moves two vectors apart by at most g √d.

    Raises: BadInput if rate · weight_decay exceeds 2.
    """
    positive(radius=radius, clip_norm=clip_norm, noise=noise)
    radius, clip_norm, noise, rate, weight_decay = map(float, (radius, clip_norm, noise, rate, weight_decay))
    contraction = abs(1 - rate * weight_decay)
    if contraction > 1:
        raise BadInput(f"learning_rate times weight_decay is {rate * weight_decay:.4g}, more than 2; lower one of them")
    relative = clip_rounding(run.params)
    added = rate * clip_norm + longest_noise(run.params, noise, spacing)
    powers = steps if contraction == 1 else (1 - contraction**steps) / (1 - contraction)
    longest = 2 * (radius + added * powers)  # the factor 2 leaves room for rounding, which adds to the norm as well
    step = 4 * coarsest(run.params) * ((1 + rate * weight_decay) * longest + added)
    cell = grid_distance(run.params, spacing)
    apart, sigma = noisy_chain(
        start=2 * radius * (1 + relative),
        contractions=[contraction] * steps,
        shifts=[2 * (rate * clip_norm * (1 + relative) + step) + (1 + contraction) * cell] * steps,
        noises=[noise] * steps,
    )
    rests = (
        ("C", radius, "radius to which the model is clipped before the first step"),
        ("C_1", clip_norm, "norm to which every gradient is clipped"),
        ("c", contraction, "contraction of a step, without its gradient"),
        ("K", steps, "number of noisy steps"),
        ("s", noise, "standard deviation of the fresh noise of each step"),
        ("rounding", relative, "relative rounding error of a clipped norm"),
        ("of a step", step, "upper bound on the other rounding error of one step"),
        ("g √d", cell, "distance added by rounding to the grid of the noise"),
    )
    return Guarantee(
        says=OwnNoise(apart, sigma),
        reference=f"the same noisy steps from any other model of norm at most {radius:g}",
        sense="unlearner",
        every_request=True,
        assumptions=tuple(Assumption(symbol, float(value), "proved", meaning) for symbol, value, meaning in rests),
        unchecked=run.unchecked,
    )


def clipped_models(run: Run, *, radius: float, noise: float, steps: int, spacing: float) -> Guarantee:
    """`steps` of w <- round_g(clip(m(w), radius)) + g n, for any maps m (`bounds.clipped_chain`).

    g n is Gaussian noise of variance noise², rounded to its grid g. Two centres are at most 2 radius + g √d apart. The
    theorem proves a delta for each of `EPSILONS`. The reference is the same steps from any other model.
    """
    positive(radius=radius, noise=noise)
    radius, noise = float(radius), float(noise)
    relative = clip_rounding(run.params)
    cell = grid_distance(run.params, spacing)
    exact = clipped_chain(EPSILONS, ratio=(2 * radius * (1 + relative) + cell) / noise, steps=steps)
    # a delta proved at one epsilon holds at every larger one
    deltas = np.minimum.accumulate(np.minimum(exact, 1))
    rests = (
        ("C", radius, "radius to which the model is clipped in every step"),
        ("K", steps, "number of noisy steps"),
        ("s", noise, "standard deviation of the fresh noise of each step"),
        ("rounding", relative, "relative rounding error of a clipped norm"),
        ("g √d", cell, "distance added by rounding to the grid of the noise"),
    )
    return Guarantee(
        says=Pairs(tuple(zip(EPSILONS.tolist(), deltas.tolist(), strict=True)), float(noise)),
        reference="the same noisy steps from any other model",
        sense="unlearner",
        every_request=True,
        assumptions=tuple(Assumption(symbol, float(value), "proved", meaning) for symbol, value, meaning in rests),
        unchecked=run.unchecked,
    )
