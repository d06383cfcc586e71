"""Model clipping (Koloskova et al., ICML 2025): steps on what is left, the whole model clipped in each, then noise."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np

from certunl.base import Key, Params, Progress
from certunl.bounds.clipped_chain import clipped_chain
from certunl.bounds.rounding import clip_rounding
from certunl.certificates.guarantee import Assumption
from certunl.certificates.update import Update
from certunl.errors import BadInput
from certunl.methods._noisy_steps import clip, draw_steps, steps_recipe, walk
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.recipe import Recipe
from certunl.training.run import Run

__all__ = ["ModelClipping"]

_GRID = (np.arange(1, 10) / 10, np.arange(1.0, 20), np.arange(20.0, 101, 10), np.geomspace(0.01, 1e3, 121))
EPSILONS = np.unique([float(f"{epsilon:.3g}") for part in _GRID for epsilon in part])
"""Those at which a delta is proved."""


@dataclass(frozen=True, kw_only=True)
class ModelClipping:
    """For `epochs` over the retained examples, g the mean gradient of a batch of them,

        w <- clip(w − learning_rate (g + weight_decay w), radius) + N(0, noise² I)

    with clip(v, C) = v min(1, C/‖v‖), and 0 where v is not finite. Whatever the loss, two models are at most 2 C apart
    before each noise (`bounds.clipped_chain`), which proves a delta for every epsilon of a grid: `Update.profile`. No
    Gaussian trade-off, so that releases compose by adding epsilons and deltas; `Update.bound` is 2 C and `Update.noise`
    that of the last step, which alone is output perturbation. The reference is the same steps from any other model; all
    constants are settings, as in `NoisyFineTuning`, and the same is outside.

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
        if self.radius is None:
            raise BadInput("radius must be a positive number: the theorem rests on it, got None")
        self._recipe(None)

    def prepare(self, run: Run, *, progress: Progress | None = None) -> None:
        """Nothing to prepare."""

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """`key` draws batches and noise; keep it secret. Raises: Diverged where the result is not finite."""
        retained, recipe = run.retained(run.check(request)), self._recipe(run)
        schedule, noise_key = draw_steps(run, retained, recipe, key)
        K, rounding = len(schedule), clip_rounding(run.params)
        apart = 2 * self.radius * (1 + rounding)
        deltas = clipped_chain(EPSILONS, ratio=apart / self.noise, steps=K)
        with Stopwatch() as watch:
            limits = (self.radius, recipe.learning_rate, recipe.weight_decay)
            params = walk(run, run.params, schedule, noise_key, self.noise, _move, limits)
        said = (
            ("C", self.radius, "radius to which the model is clipped in every step"),
            ("K", K, "noisy steps"),
            ("s", self.noise, "noise of each step, fresh"),
            ("rounding", rounding, "of a clipped norm, relative"),
        )
        return updated(
            run,
            params,
            watch,
            method="model_clipping",
            reference="the same noisy steps from any other model",
            bound=apart,
            noise=float(self.noise),
            profile=tuple(zip(EPSILONS.tolist(), deltas.tolist(), strict=True)),
            compared="unlearner",
            radius=self.radius,
            uniform=True,
            assumptions=tuple(Assumption(name, float(value), "proved", what) for name, value, what in said),
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
