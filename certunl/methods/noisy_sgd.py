"""Projected noisy SGD (Chien et al. 2024; Langevin unlearning is its full-batch case), for convex losses."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from certunl.base import Key, Params, Progress
from certunl.bounds import theorems
from certunl.bounds.constants import HessianFreeConstants
from certunl.bounds.theorems.assumed import check_assumed
from certunl.bounds.theorems.noisy_sgd import curvature_of
from certunl.certificates.secret import Secret
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, one_of, plain_numbers
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
    """Steps over the retained examples, g the mean gradient of a batch of them, P the projection onto the ball:

        w <- v − learning_rate (g(v) + weight_decay v) + N(0, noise² I)      v = P(w), or w without a ball

    The weight decay is the run's. For convex losses with low I <= H <= high I a step contracts by c = max(|1 − rate
    (decay + low)|, |1 − rate (decay + high)|). This is a noisy chain (`bounds.noisy_chain`) with u = 2 rounding + (1 +
    c) g √d, for the rounding error of a step and the grid g of the noise. The guarantee is `OwnNoise` of its Z and √S,
    and `certify` adds no noise. `start`
    chooses the first w and the distance z_0, C being the radius of the ball:

    * "ball": the present model, z_0 = 2 C. The reference is the same steps from any other model, so any training is
      allowed. Z is the same for every request if low and high do not depend on the data.
    * "trained": the end of the original training run, z_0 = min(D_T, 2 C). D_T bounds the distance to training replayed
      without all forgotten examples (`bounds.rewind`, for plain SGD). The reference is that replay followed by the same
      noisy steps. Z depends on the request. Every request starts from the original model again, with fresh noise. Given
      the trained models, releases are therefore independent; together they are as distinguishable as one release of
      ratio √(sum Z²/S).

    Centres and noise are rounded to one grid, which the bound counts, and the noise is sampled exactly
    (`certificates.noise`). `key` draws batches and noise; it must be `secret_key()`. A JAX key is for tests, and
    makes the certificate CONDITIONAL. Rounding is estimated if there is no ball. In float32 it can be most of Z,
    because each step adds its worst case.

    Args:
        noise: standard deviation of the noise of each step. A larger one gives a smaller epsilon.
        epochs: passes over the retained examples.
        learning_rate: step size. Default: 2/(2 decay + low + high), which contracts most, if the data do not decide it
            (constants that are given, or inputs that the model bounds); else the last rate of the run.
        batch_size: number of examples in a batch. Default: that of the run's recipe.
        radius: radius of the ball. Default: the run's.
        start: "ball" or "trained". Default: "ball" if there is a ball, else "trained".
        assumed: "linear" for constants in closed form (softmax and least-squares regression), or `HessianFreeConstants`
            with convexity. Default: no theorem.

    Source: Chien et al. 2024.  Differs: training needs no noise, because the proof uses only the steps after the
    request; an exact Gaussian trade-off in place of Renyi divergences; noise comes after projection.
    """

    own_noise: ClassVar[bool] = True
    """`key` must be secret, so the command line takes it from the system's entropy and not from its seed."""

    noise: float = 0.1
    epochs: int = 1
    learning_rate: float | None = None
    batch_size: int | None = None
    radius: float | None = None
    start: str | None = None
    assumed: HessianFreeConstants | str | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_assumed(self.assumed)
        if isinstance(self.assumed, HessianFreeConstants) and self.assumed.convexity is None:
            raise BadInput("noisy SGD contracts for convex losses only: give convexity among the constants")
        one_of((*STARTS, None), start=self.start)
        steps_recipe(None, self.noise, self.learning_rate, self.batch_size, epochs=self.epochs, radius=self.radius)

    def prepare(self, run: Run, *, progress: Progress | None = None) -> Checkpoint | None:
        """The end of the original training run, or None if `start` is "ball"."""
        return Checkpoint.of(run, 0, progress) if self._start(run) == "trained" else None

    def forget(self, run: Run, prepared: Checkpoint | None, request: Any, key: Key | Secret) -> Update:
        """The update after the noisy steps. Keep `key` secret. Without `prepared` the checkpoint is recomputed.

        Raises: BadInput if a step does not contract, if "linear" has no closed form, or for the checkpoint of another
        run; Diverged if the result is not finite.
        """
        request, start = run.check(request), self._start(run)
        recipe = self._recipe(run)
        randomness = draw_steps(run, run.retained(request), recipe, self.noise, key)
        limits = (recipe.radius, recipe.learning_rate, recipe.weight_decay)
        guarantee = theorems.noisy_sgd(
            run,
            request,
            start=start,
            noise=self.noise,
            spacing=randomness.spacing,
            steps=randomness.schedule.indices.shape[0],
            slots=randomness.schedule.indices.shape[1],
            rate=recipe.learning_rate,
            radius=recipe.radius,
            assumed=self.assumed,
        )
        with Stopwatch() as watch:
            begin = run.params
            if start == "trained":
                begin = (Checkpoint.of(run, 0) if prepared is None else prepared.check(run, 0)).params
            params = walk(run, begin, randomness, self.noise, _move, limits)
        return updated(run, params, watch, "noisy_sgd", randomness.on(guarantee), request=request, radius=recipe.radius)

    def _start(self, run: Run) -> str:
        ball = self.radius is not None or run.recipe.radius is not None
        if self.start == "ball" and not ball:
            raise BadInput('start="ball" needs a ball: set radius, or start="trained"')
        start = self.start or ("ball" if ball else "trained")
        if start == "trained":
            run.need_history('start="trained"')
        return start

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
