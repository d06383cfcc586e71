"""Model clipping (Koloskova et al., ICML 2025): steps on what is left, the whole model clipped in each, then noise."""

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

__all__ = ["ModelClipping"]


@dataclass(frozen=True, kw_only=True)
class ModelClipping(Unlearner):
    """For `epochs` over the retained examples, g the mean gradient of a batch of them,

        w <- clip(w − learning_rate (g + weight_decay w), radius) + N(0, noise² I)

    with clip(v, C) = v min(1, C/‖v‖), and 0 where v is not finite. Whatever the loss, two models are at most 2 C apart
    before each noise (`bounds.clipped_chain`), which proves a delta for every epsilon of a grid. The guarantee is
    `Pairs`, no Gaussian trade-off, so that releases compose by adding epsilons and deltas; the noise of the last step
    alone is output perturbation. The reference is the same steps from any other model; all constants are settings, as
    in `NoisyFineTuning`, and the same is outside.

    `key` draws batches and noise: a release is private only if it is secret (`secret_key()`) and used once. The run's
    recipe is not used except for its batch size and for `learning_rate` (default: the run's last rate). In d dimensions
    a step keeps about C/(noise √d) of what was learnt: honestly named, a random restart.
    Source: Koloskova et al. 2025, model clipping.  Differs: the theorem is `bounds.clipped_chain`, and the noise of
    every step is fresh.
    """

    own_noise: ClassVar[bool] = True
    """`key` decides what makes releases private: the command line gives it the system's entropy, not its seed."""

    radius: float = 1.0
    noise: float = 1.0
    epochs: int = 1
    learning_rate: float | None = None
    weight_decay: float = 0.0
    batch_size: int | None = None

    def __post_init__(self) -> None:
        positive(radius=self.radius)
        self._recipe(None)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """`key` draws batches and noise; keep it secret. Raises: Diverged where the result is not finite."""
        retained, recipe = run.retained(run.check(request)), self._recipe(run)
        schedule, noise_key = draw_steps(run, retained, recipe, key)
        guarantee = theorems.clipped_models(run, radius=self.radius, noise=self.noise, steps=len(schedule))
        with Stopwatch() as watch:
            limits = (self.radius, recipe.learning_rate, recipe.weight_decay)
            params = walk(run, run.params, schedule, noise_key, self.noise, _move, limits)
        return updated(run, params, watch, "model_clipping", guarantee, radius=self.radius)

    def _recipe(self, run: Run | None) -> Recipe:
        return steps_recipe(
            run,
            self.noise,
            self.learning_rate,
            self.batch_size,
            epochs=self.epochs,
            weight_decay=self.weight_decay,
            radius=self.radius,
        )


def _move(w: Params, gradient: Any, limits: Any) -> Params:
    radius, rate, decay = limits
    moved = jax.tree.map(lambda w, g: w - rate * (g + decay * w), w, gradient(w))
    return clip(moved, radius)
