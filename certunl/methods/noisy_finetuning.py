"""Noisy fine-tuning (Koloskova et al., ICML 2025): clipped steps on what is left, each with fresh noise."""

import math
from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from certunl.bounds.noisy_chain import noisy_chain
from certunl.certificate import Assumption, Update
from certunl.methods._updated import updated
from certunl.recipe import Recipe
from certunl.schedule import Schedule, draw
from certunl.timing import Stopwatch
from certunl.training import Run
from certunl.typing import BadInput, Diverged, Key, Params, Progress

__all__ = ["NoisyFineTuning"]


@dataclass(frozen=True, kw_only=True)
class NoisyFineTuning:
    """w_0 = clip(w, radius), then for `epochs` over the retained examples, g the mean gradient of a batch of them,

        w <- (1 − learning_rate weight_decay) w − learning_rate clip(g, clip_norm) + N(0, noise² I)

    with clip(v, C) = v min(1, C/‖v‖), and 0 where v is not finite. Whatever the loss, this is a noisy chain
    (`bounds.noisy_chain`) with z_0 = 2 radius, c = |1 − learning_rate weight_decay|, u = 2 learning_rate clip_norm:
    `Update.bound` is its Z and `Update.noise` its √S, to which `certify` adds nothing. The reference is the same steps
    started at any other model in the ball, retrained or random: no distance of parameters is claimed. All constants are
    settings, so no assumption is left open, for ReLU networks neither; what the step sees besides w are the retained
    examples, so preprocessing fitted on the forgotten ones is outside, and so are Adam, momentum and batch statistics.

    `key` draws batches and noise: a release is private only if it is secret (`secret_key()`) and used once.
    The losses' own l2 is part of the gradient; the run's recipe is not used except for its batch size and for
    `learning_rate` (default: the run's last rate). Without weight decay √S is never below output perturbation's
    noise (Z/2 radius times as much): what is gained is that descent happens between the noises.
    Source: Koloskova et al. 2025, gradient clipping.  Differs: the theorem is `bounds.noisy_chain`, an exact Gaussian
    trade-off, and the noise of every step is fresh.
    """

    own_noise: ClassVar[bool] = True
    """`key` decides what makes releases private: the command line gives it the system's entropy, not its seed."""

    radius: float = 1.0
    clip_norm: float = 1.0
    noise: float = 0.1
    epochs: int = 1
    learning_rate: float | None = None
    weight_decay: float = 0.0
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.noise, Real) and 0 < float(self.noise) < math.inf):
            raise BadInput(f"noise must be a positive number: a standard deviation for each step, got {self.noise!r}")
        for name in ("radius", "clip_norm"):
            if getattr(self, name) is None:
                raise BadInput(f"{name} must be a positive number: the theorem rests on it, got None")
        self._recipe(1.0, 1)

    def prepare(self, run: Run, *, progress: Progress | None = None) -> None:
        """Nothing to prepare."""

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """`key` draws batches and noise; keep it secret.

        Raises: BadInput where learning_rate · weight_decay exceeds 2; Diverged where the result is not finite.
        """
        rows = np.flatnonzero(run.retained(run.check(request)))
        recipe = self._recipe(float(run.schedule.rates[-1]), run.recipe.batch_size)
        rate, decay = recipe.learning_rate, recipe.weight_decay
        contraction = abs(1 - rate * decay)
        if contraction > 1:
            raise BadInput(f"learning_rate times weight_decay is {rate * decay:.4g}, more than 2: lower one of them")
        batch_key, noise_key = jax.random.split(key)
        schedule = draw(batch_key, recipe, len(rows))
        schedule = replace(schedule, indices=jnp.asarray(rows, "int32")[schedule.indices])
        K, rounding = len(schedule), _rounding(run.params)
        Z, noise = noisy_chain(
            start=2 * self.radius * (1 + rounding),
            contractions=[contraction] * K,
            shifts=[2 * rate * self.clip_norm * (1 + rounding)] * K,
            noises=[self.noise] * K,
        )
        limits = (self.radius, self.clip_norm, self.noise, rate, decay)
        with Stopwatch() as watch:
            params = jax.block_until_ready(_steps(run, schedule, noise_key, limits))
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
            raise Diverged(f"parameters became NaN or infinite in {K} noisy steps of noise {self.noise:g}; lower noise")
        said = (
            ("C", self.radius, "radius to which the model is clipped before the first step"),
            ("C_1", self.clip_norm, "norm to which every gradient is clipped"),
            ("c", contraction, "contraction of a step, without its gradient"),
            ("K", K, "noisy steps"),
            ("s", self.noise, "noise of each step, fresh"),
            ("rounding", rounding, "of a clipped norm, relative"),
        )
        update = updated(
            run,
            params,
            watch,
            method="noisy_finetuning",
            reference=f"the same noisy steps from any other model of norm at most {self.radius:g}",
            bound=Z,
            noise=noise,
            compared="unlearner",
            uniform=True,
            assumptions=tuple(Assumption(name, float(value), "proved", what) for name, value, what in said),
        )
        return replace(update, radius=self.radius)

    def _recipe(self, rate: float, batch_size: int) -> Recipe:
        """The settings as a recipe, which checks them."""
        return Recipe(
            epochs=self.epochs,
            learning_rate=rate if self.learning_rate is None else self.learning_rate,
            weight_decay=self.weight_decay,
            batch_size=batch_size if self.batch_size is None else self.batch_size,
            radius=self.radius,
            clip_norm=self.clip_norm,
        )


def _rounding(params: Params) -> float:
    """How far a clipped vector's norm can exceed its limit: d squares summed in any order, a root and a quotient."""
    d = sum(leaf.size for leaf in jax.tree.leaves(params))
    lost = (d + 10) * max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(params))
    if lost >= 0.5:
        raise BadInput(f"{d} parameters are too many to clip in this precision; train in float64 (jax_enable_x64)")
    return lost


def _clip(tree: Params, limit: jax.Array) -> Params:
    """tree min(1, limit/‖tree‖), 0 where it is not finite."""
    norm = optax.tree.norm(tree)
    factor = jnp.where(norm > limit, limit / norm, 1)
    return jax.tree.map(lambda a: jnp.where(jnp.isfinite(norm), a * factor.astype(a.dtype), 0), tree)


@partial(jax.jit)
def _steps(run: Run, schedule: Schedule, key: Key, limits: Any) -> Params:
    radius, clip_norm, noise, rate, decay = limits
    gradient = jax.grad(run.problem.risk)

    def step(w: Params, slot: tuple[jax.Array, Schedule]) -> tuple[Params, None]:
        t, row = slot
        g = _clip(gradient(w, run.problem.data[row.indices], row.weights / row.divisors), clip_norm)
        fresh = optax.tree.random_like(jax.random.fold_in(key, t), w, sampler=jax.random.normal)
        return jax.tree.map(
            lambda w, g, z: ((1 - rate * decay) * w - rate * g + noise * z).astype(w.dtype), w, g, fresh
        ), None

    return jax.lax.scan(step, _clip(run.params, radius), (jnp.arange(len(schedule)), schedule))[0]
