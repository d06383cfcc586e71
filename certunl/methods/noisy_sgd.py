"""Projected noisy SGD (Chien et al. 2024; Langevin unlearning is its full-batch case), for convex losses."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from certunl.base import Key, Params, Progress
from certunl.bounds import theorems
from certunl.bounds.constants import HessianFreeConstants
from certunl.bounds.theorems.assumed import check_assumed
from certunl.bounds.theorems.noisy_sgd import curvature_of
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, one_of
from certunl.methods._checkpoint import Checkpoint
from certunl.methods._noisy_steps import clip, draw_steps, steps_recipe, walk
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.recipe import Recipe
from certunl.training.run import Run

__all__ = ["NoisySGD"]

STARTS = ("ball", "trained")


@dataclass(frozen=True, kw_only=True)
class NoisySGD(Unlearner):
    """For `epochs` over the retained examples, g the mean gradient of a batch of them, P the projection onto the ball,

        w <- v − learning_rate (g(v) + weight_decay v) + N(0, noise² I)      v = P(w), or w without a ball

    with the run's weight decay, and `radius` (default: the run's) of the ball. For convex losses, low I <= H <= high I,
    a step contracts by c = max(|1 − rate (decay + low)|, |1 − rate (decay + high)|): a noisy chain
    (`bounds.noisy_chain`) with u twice the rounding of a step. The guarantee is `OwnNoise` of its Z and √S, and
    `certify` adds nothing. `start` says where it begins and what z_0 is:

    * "ball" (the default where there is one): the model as it is now, 2 C. The reference is the same steps from any
      other model, so training may have been any; where nobody's data decides low and high, Z is the same for everyone.
    * "trained": the end of training as it was (`prepare` recomputes it, or `forget` does), min(D_T, 2 C), D_T >= its
      distance to training replayed without everyone gone (`bounds.rewind`, for plain SGD). The reference is that and
      the same noisy steps; Z is of this request. Every request starts there again, with fresh noise: given the trained
      models releases are independent, and together as distinguishable as one of ratio √(sum Z²/S).

    `assumed`: "linear" (softmax and least-squares regression in closed form), or `HessianFreeConstants` with convexity;
    without them there is no theorem. Rounding is estimated without a ball; in float32, where every step adds its
    worst case, it can be most of Z. `learning_rate` defaults to 2/(2 decay + low + high), the most contracting, where
    nobody's data decides it (constants that are given, or inputs that the model bounds), else to the run's last rate.
    `key` draws batches and noise: a release is private only if it is secret (`secret_key()`) and used once.
    Source: Chien et al. 2024.  Differs: training needs no noise, because only the steps after the request are relied
    on; an exact Gaussian trade-off in place of Renyi divergences; noise comes after projection.
    """

    own_noise: ClassVar[bool] = True
    """`key` decides what makes releases private: the command line gives it the system's entropy, not its seed."""

    noise: float = 0.1
    epochs: int = 1
    learning_rate: float | None = None
    batch_size: int | None = None
    radius: float | None = None
    start: str | None = None
    assumed: HessianFreeConstants | str | None = None

    def __post_init__(self) -> None:
        check_assumed(self.assumed)
        if isinstance(self.assumed, HessianFreeConstants) and self.assumed.convexity is None:
            raise BadInput("noisy SGD contracts for convex losses only: give convexity among the constants")
        one_of((*STARTS, None), start=self.start)
        steps_recipe(None, self.noise, self.learning_rate, self.batch_size, epochs=self.epochs, radius=self.radius)

    def prepare(self, run: Run, *, progress: Progress | None = None) -> Checkpoint | None:
        """The end of everyone's training, where steps start there."""
        return Checkpoint.of(run, 0, progress) if self._start(run) == "trained" else None

    def forget(self, run: Run, prepared: Checkpoint | None, request: Any, key: Key) -> Update:
        """`key` draws batches and noise; keep it secret.

        Raises: BadInput where a step does not contract, there is no closed form, or for another run's checkpoint;
        Diverged where the result is not finite.
        """
        request, start = run.check(request), self._start(run)
        recipe = self._recipe(run)
        schedule, noise_key = draw_steps(run, run.retained(request), recipe, key)
        limits = (recipe.radius, recipe.learning_rate, recipe.weight_decay)
        guarantee = theorems.noisy_sgd(
            run,
            request,
            start=start,
            noise=self.noise,
            steps=schedule.indices.shape[0],
            slots=schedule.indices.shape[1],
            rate=recipe.learning_rate,
            radius=recipe.radius,
            assumed=self.assumed,
        )
        with Stopwatch() as watch:
            begin = run.params
            if start == "trained":
                begin = (Checkpoint.of(run, 0) if prepared is None else prepared.check(run, 0)).params
            params = walk(run, begin, schedule, noise_key, self.noise, _move, limits)
        return updated(run, params, watch, "noisy_sgd", guarantee, radius=recipe.radius)

    def _start(self, run: Run) -> str:
        ball = self.radius is not None or run.recipe.radius is not None
        if self.start == "ball" and not ball:
            raise BadInput('start="ball" needs a ball: set radius, or start="trained"')
        return self.start or ("ball" if ball else "trained")

    def _recipe(self, run: Run) -> Recipe:
        rate, decay, curvature = self.learning_rate, run.recipe.weight_decay, curvature_of(run, self.assumed)
        if rate is None and curvature is not None and curvature.public and decay + curvature.high > 0:
            rate = 2 / (2 * decay + curvature.low + curvature.high)
        ball = {"radius": run.recipe.radius if self.radius is None else self.radius, "weight_decay": decay}
        return steps_recipe(run, self.noise, rate, self.batch_size, epochs=self.epochs, **ball)


def _move(w: Params, gradient: Any, limits: Any) -> Params:
    radius, rate, decay = limits
    v = w if radius is None else clip(w, radius)
    return jax.tree.map(lambda v, g: v - rate * (g + decay * v), v, gradient(v))
