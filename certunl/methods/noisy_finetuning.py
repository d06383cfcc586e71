"""Noisy fine-tuning (Koloskova et al., ICML 2025): clipped steps on the retained examples, each with fresh noise."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from certunl.base import Key, Params
from certunl.bounds import theorems
from certunl.certificates.secret import Secret
from certunl.certificates.update import Unlearner, Update
from certunl.errors import plain_numbers, positive
from certunl.methods._noisy_steps import clip, draw_steps, steps_recipe, walk
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.recipe import Recipe
from certunl.training.run import Run

__all__ = ["NoisyFineTuning"]


@dataclass(frozen=True, kw_only=True)
class NoisyFineTuning(Unlearner):
    """Steps from w_0 = clip(w, radius) over the retained examples, g the mean gradient of a batch of them:

        w <- (1 − learning_rate weight_decay) w − learning_rate clip(g, clip_norm) + N(0, noise² I)

    Here clip(v, C) = v min(1, C/‖v‖), and 0 if v is not finite. For any loss, this is a noisy chain
    (`bounds.noisy_chain`) with z_0 = 2 radius, c = |1 − learning_rate weight_decay| and u = 2 learning_rate clip_norm.
    The guarantee is `OwnNoise` of its Z and √S, and `certify` adds no noise. The reference is the same steps from any
    other model in the ball, retrained or random. No distance of parameters is claimed. All constants are settings, so
    no assumption is left open, not even for ReLU networks. A step reads only w and the retained examples. Preprocessing
    that was fitted on the forgotten examples is therefore not covered, nor are Adam, momentum and batch statistics.

    Centres and noise are rounded to one grid, which the bound counts, and the noise is sampled exactly
    (`certificates.noise`). `key` draws batches and noise; it must be `secret_key()`. A JAX key is for tests, and
    makes the certificate CONDITIONAL. The l2 of the losses is part of the gradient. The run's recipe is used only
    for the defaults of `learning_rate` and `batch_size`. Without weight decay √S is Z/(2 radius) times the noise of
    output perturbation, and so never below it. The gain is the descent between the noises.

    Args:
        radius: norm to which the model is clipped before the first step.
        clip_norm: norm to which the gradient is clipped in each step.
        noise: standard deviation of the noise of each step. A larger one gives a smaller epsilon.
        epochs: passes over the retained examples.
        learning_rate: step size. Default: the last rate of the run.
        weight_decay: coefficient of w in each step.
        batch_size: number of examples in a batch. Default: that of the run's recipe.

    Source: Koloskova et al. 2025, gradient clipping.  Differs: the theorem is `bounds.noisy_chain`, an exact Gaussian
    trade-off, and the noise of every step is fresh.
    """

    own_noise: ClassVar[bool] = True
    """`key` must be secret, so the command line takes it from the system's entropy and not from its seed."""

    radius: float = 1.0
    clip_norm: float = 1.0
    noise: float = 0.1
    epochs: int = 1
    learning_rate: float | None = None
    weight_decay: float = 0.0
    batch_size: int | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        positive(radius=self.radius, clip_norm=self.clip_norm)
        self._recipe(None)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key | Secret) -> Update:
        """The update after the noisy steps. Keep `key` secret.

        Raises: BadInput if learning_rate · weight_decay exceeds 2; Diverged if the result is not finite.
        """
        retained, recipe = run.retained(run.check(request)), self._recipe(run)
        rate, decay = recipe.learning_rate, recipe.weight_decay
        randomness = draw_steps(run, retained, recipe, self.noise, key)
        guarantee = theorems.clipped_gradients(
            run,
            radius=self.radius,
            clip_norm=self.clip_norm,
            noise=self.noise,
            spacing=randomness.spacing,
            steps=len(randomness.schedule),
            rate=rate,
            weight_decay=decay,
        )
        with Stopwatch() as watch:
            start, limits = clip(run.params, self.radius), (self.clip_norm, rate, decay)
            params = walk(run, start, randomness, self.noise, _move, limits)
        return updated(
            run, params, watch, "noisy_finetuning", randomness.on(guarantee), request=request, radius=self.radius
        )

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
