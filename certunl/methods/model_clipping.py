"""Model clipping (Koloskova et al., ICML 2025): steps on the retained examples that clip the model and add noise."""

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

__all__ = ["ModelClipping"]


@dataclass(frozen=True, kw_only=True)
class ModelClipping(Unlearner):
    """Steps over the retained examples, g the mean gradient of a batch of them:

        w <- clip(w − learning_rate (g + weight_decay w), radius) + N(0, noise² I)

    Here clip(v, C) = v min(1, C/‖v‖), and 0 if v is not finite. For any loss, two models are at most 2 C apart before
    the noise of each step (`bounds.clipped_chain`). This proves a delta for every epsilon of a grid. The guarantee is
    `Pairs` and not a Gaussian trade-off, so releases compose by adding epsilons and deltas. The noise of the last step
    alone is output perturbation. The reference is the same steps from any other model. All constants are settings, as
    in `NoisyFineTuning`, and the same things are not covered.

    Centres and noise are rounded to one grid, which the bound counts, and the noise is sampled exactly
    (`certificates.noise`). `key` draws batches and noise; it must be `secret_key()`. A JAX key is for tests, and
    makes the certificate CONDITIONAL. The run's recipe is used only for the defaults of `learning_rate` and
    `batch_size`. In d dimensions a step keeps about C/(noise √d) of the trained model, so in effect the method is a
    random restart.

    Args:
        radius: C, the norm to which each step clips the model.
        noise: standard deviation of the noise of each step. A larger one gives smaller deltas.
        epochs: passes over the retained examples. More steps give smaller deltas.
        learning_rate: step size. Default: the last rate of the run.
        weight_decay: coefficient of w in each step.
        batch_size: number of examples in a batch. Default: that of the run's recipe.

    Source: Koloskova et al. 2025, model clipping.  Differs: the theorem is `bounds.clipped_chain`, and the noise of
    every step is fresh.
    """

    own_noise: ClassVar[bool] = True
    """`key` must be secret, so the command line takes it from the system's entropy and not from its seed."""

    radius: float = 1.0
    noise: float = 1.0
    epochs: int = 1
    learning_rate: float | None = None
    weight_decay: float = 0.0
    batch_size: int | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        positive(radius=self.radius)
        self._recipe(None)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key | Secret) -> Update:
        """The update after the noisy steps. Keep `key` secret. Raises: Diverged if the result is not finite."""
        retained, recipe = run.retained(run.check(request)), self._recipe(run)
        randomness = draw_steps(run, retained, recipe, self.noise, key)
        guarantee = theorems.clipped_models(
            run, radius=self.radius, noise=self.noise, spacing=randomness.spacing, steps=len(randomness.schedule)
        )
        with Stopwatch() as watch:
            limits = (self.radius, recipe.learning_rate, recipe.weight_decay)
            params = walk(run, run.params, randomness, self.noise, _move, limits)
        return updated(
            run, params, watch, "model_clipping", randomness.on(guarantee), request=request, radius=self.radius
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
        )


def _move(w: Params, gradient: Any, limits: Any) -> Params:
    radius, rate, decay = limits
    moved = jax.tree.map(lambda w, g: w - rate * (g + decay * w), w, gradient(w))
    return clip(moved, radius)
