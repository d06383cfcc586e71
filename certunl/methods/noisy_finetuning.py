"""Noisy fine-tuning (Koloskova et al., ICML 2025): clipped steps on what is left, each with fresh noise."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from certunl.base import Key, Params
from certunl.bounds import theorems
from certunl.certificates.update import Unlearner, Update
from certunl.errors import positive
from certunl.methods._noisy_steps import clip, draw_steps, steps_recipe, walk
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.recipe import Recipe
from certunl.training.run import Run

__all__ = ["NoisyFineTuning"]


@dataclass(frozen=True, kw_only=True)
class NoisyFineTuning(Unlearner):
    """w_0 = clip(w, radius), then for `epochs` over the retained examples, g the mean gradient of a batch of them,

        w <- (1 − learning_rate weight_decay) w − learning_rate clip(g, clip_norm) + N(0, noise² I)

    with clip(v, C) = v min(1, C/‖v‖), and 0 where v is not finite. Whatever the loss, this is a noisy chain
    (`bounds.noisy_chain`) with z_0 = 2 radius, c = |1 − learning_rate weight_decay|, u = 2 learning_rate clip_norm:
    the guarantee is `OwnNoise` of its Z and √S, and `certify` adds nothing. The reference is the same steps
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
        positive(radius=self.radius, clip_norm=self.clip_norm)
        self._recipe(None)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """`key` draws batches and noise; keep it secret.

        Raises: BadInput where learning_rate · weight_decay exceeds 2; Diverged where the result is not finite.
        """
        retained, recipe = run.retained(run.check(request)), self._recipe(run)
        rate, decay = recipe.learning_rate, recipe.weight_decay
        schedule, noise_key = draw_steps(run, retained, recipe, key)
        guarantee = theorems.clipped_gradients(
            run,
            radius=self.radius,
            clip_norm=self.clip_norm,
            noise=self.noise,
            steps=len(schedule),
            rate=rate,
            weight_decay=decay,
        )
        with Stopwatch() as watch:
            start, limits = clip(run.params, self.radius), (self.clip_norm, rate, decay)
            params = walk(run, start, schedule, noise_key, self.noise, _move, limits)
        return updated(run, params, watch, "noisy_finetuning", guarantee, radius=self.radius)

    def _recipe(self, run: Run | None) -> Recipe:
        return steps_recipe(
            run,
            self.noise,
            self.learning_rate,
            self.batch_size,
            epochs=self.epochs,
            weight_decay=self.weight_decay,
            radius=self.radius,
            clip_norm=self.clip_norm,
        )


def _move(w: Params, gradient: Any, limits: Any) -> Params:
    clip_norm, rate, decay = limits
    g = clip(gradient(w), clip_norm)
    return jax.tree.map(lambda w, g: (1 - rate * decay) * w - rate * g, w, g)
