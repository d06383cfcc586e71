"""Projected noisy SGD (Chien et al. 2024; Langevin unlearning is its full-batch case), for convex losses."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
import optax

from certunl.base import Key, Params, Progress
from certunl.bounds.constants import HessianFreeConstants
from certunl.bounds.linear_loss import linear_loss
from certunl.bounds.noisy_chain import noisy_chain
from certunl.bounds.rewind import rewind_bound
from certunl.bounds.steps import batches
from certunl.bounds.theorems.assumed import FINITE, check_assumed, constants_for, lacking, step_rounding
from certunl.certificates.guarantee import Assumption
from certunl.certificates.update import Update
from certunl.errors import BadInput
from certunl.methods._checkpoint import Checkpoint
from certunl.methods._noisy_steps import clip, draw_steps, longest_noise, steps_recipe, walk
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.recipe import Recipe
from certunl.training.run import Run

__all__ = ["NoisySGD"]

STARTS = ("ball", "trained")
_CONVEX = (
    "low and high: bounds on the Hessian of every example's loss, which must be convex (convexity and smoothness of "
    "assumed=HessianFreeConstants(...); in closed form for softmax and least-squares regression only)"
)


class _Curvature(NamedTuple):
    """Of every example's Hessian: low I <= H <= high I; `public`: nobody's data decides them."""

    low: float
    high: float
    status: str
    public: bool


@dataclass(frozen=True, kw_only=True)
class NoisySGD:
    """For `epochs` over the retained examples, g the mean gradient of a batch of them, P the projection onto the ball,

        w <- v − learning_rate (g(v) + weight_decay v) + N(0, noise² I)      v = P(w), or w without a ball

    with the run's weight decay, and `radius` (default: the run's) of the ball. For convex losses, low I <= H <= high I,
    a step contracts by c = max(|1 − rate (decay + low)|, |1 − rate (decay + high)|): a noisy chain
    (`bounds.noisy_chain`) with u twice the rounding of a step. `Update.bound` is its Z, `Update.noise` its √S, to which
    `certify` adds nothing. `start` says where it begins and what z_0 is:

    * "ball" (the default where there is one): the model as it is now, 2 C. The reference is the same steps from any
      other model, so training may have been any; where nobody's data decides low and high, Z is the same for everyone.
    * "trained": the end of training as it was (`prepare` recomputes it, or `forget` does), min(D_T, 2 C), D_T >= its
      distance to training replayed without everyone gone (`bounds.rewind`, for plain SGD). The reference is that and
      the same noisy steps; Z is of this request. Every request starts there again, with fresh noise: given the trained
      models releases are independent, and together as distinguishable as one of ratio √(sum Z²/S).

    `assumed`: "linear" (softmax and least-squares regression in closed form), or `HessianFreeConstants` with convexity;
    without them, Update.bound is None. Rounding is estimated without a ball; in float32, where every step adds its
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
        if self.start not in (None, *STARTS):
            raise BadInput(f"start must be one of {', '.join(STARTS)}, or None, got {self.start!r}")
        steps_recipe(None, self.noise, self.learning_rate, self.batch_size, epochs=self.epochs, radius=self.radius)

    def prepare(self, run: Run, *, progress: Progress | None = None) -> Checkpoint | None:
        """The end of everyone's training, where steps start there."""
        return Checkpoint.of(run, 0, progress) if self._start(run) == "trained" else None

    def forget(self, run: Run, prepared: Checkpoint | None, request: Any, key: Key) -> Update:
        """`key` draws batches and noise; keep it secret.

        Raises: BadInput where a step does not contract, there is no closed form, or for another run's checkpoint;
        Diverged where the result is not finite.
        """
        retained, start, curvature = run.retained(run.check(request)), self._start(run), self._curvature(run)
        recipe = self._recipe(run, curvature)
        schedule, noise_key = draw_steps(run, retained, recipe, key)
        theorem = self._theorem(run, ~np.asarray(retained), recipe, schedule.indices.shape, curvature)
        limits = (recipe.radius, recipe.learning_rate, recipe.weight_decay)
        with Stopwatch() as watch:
            begin = run.params
            if start == "trained":
                begin = (Checkpoint.of(run, 0) if prepared is None else prepared.check(run, 0)).params
            params = walk(run, begin, schedule, noise_key, self.noise, _move, limits)
        same = "training replayed without the request, and the same noisy steps from its end"
        return updated(
            run,
            params,
            watch,
            method="noisy_sgd",
            reference="the same noisy steps from any other model" if start == "ball" else same,
            compared="unlearner",
            looks_back=start == "trained",
            radius=recipe.radius,
            **theorem,
        )

    def _start(self, run: Run) -> str:
        ball = self.radius is not None or run.recipe.radius is not None
        if self.start == "ball" and not ball:
            raise BadInput('start="ball" needs a ball: set radius, or start="trained"')
        return self.start or ("ball" if ball else "trained")

    def _curvature(self, run: Run) -> _Curvature | None:
        known = self.assumed
        if isinstance(known, HessianFreeConstants):
            assert known.convexity is not None
            status = "estimated" if {"convexity", "smoothness"} & set(known.estimated) else "given"
            return _Curvature(known.convexity, known.smoothness, status, True)
        if known is None:
            return None
        loss = linear_loss(run, "HessianFreeConstants")
        return _Curvature(loss.l2, loss.l2 + loss.smoothness, "proved", loss.public)

    def _recipe(self, run: Run, curvature: _Curvature | None) -> Recipe:
        rate, decay = self.learning_rate, run.recipe.weight_decay
        if rate is None and curvature is not None and curvature.public and decay + curvature.high > 0:
            rate = 2 / (2 * decay + curvature.low + curvature.high)
        ball = {"radius": run.recipe.radius if self.radius is None else self.radius, "weight_decay": decay}
        return steps_recipe(run, self.noise, rate, self.batch_size, epochs=self.epochs, **ball)

    def _theorem(
        self, run: Run, gone: np.ndarray, recipe: Recipe, slots: tuple[int, ...], curvature: _Curvature | None
    ) -> dict[str, Any]:
        """The fields of Update that the theorem fills; only `missing` where a condition fails."""
        bare: dict[str, Any] = {"noise": float(self.noise)}
        if curvature is None:
            return bare | {"missing": (_CONVEX,)}
        rate, decay, radius = recipe.learning_rate, recipe.weight_decay, recipe.radius
        c = max(abs(1 - rate * (decay + h)) for h in (curvature.low, curvature.high))
        if c > 1 + 1e-12:  # 2/high itself is allowed
            most = 2 / (decay + curvature.high)
            raise BadInput(f"learning_rate {rate:g} is too large for a step to contract; it may be at most {most:.4g}")
        ball = 2 * (radius or math.inf)
        told = [] if radius is None else [("C", radius, "proved", "radius of the ball, projected onto in every step")]
        if self._start(run) == "trained":
            known = constants_for(run, self.assumed, ball=True)
            if known is None:
                return bare | {"missing": lacking(run, self.assumed, ball=True)}
            _, apart = rewind_bound(known, **batches(run, gone), rewound=0, radius=run.recipe.radius)
            status = known.status("gradient_bound", "smoothness", "convexity", "retained_contraction", "rounding")
            told += [("D_T", apart, status, "distance of training as it was to training replayed, at most")]
            ball = min(ball, apart)
        if not math.isfinite(ball):
            return bare | {"missing": (FINITE,)}
        K, widest = slots[0], longest_noise(run.params, self.noise)
        reach = float(optax.tree.norm(run.params)) + widest
        rounding, how = step_rounding(run, self.assumed, rate=rate, slots=slots[1], radius=radius, reach=reach)
        if not (radius or 0.0) + widest < 1e15:  # a norm might overflow
            how = "estimated"
        Z, noise = noisy_chain(start=ball, contractions=[c] * K, shifts=[2 * rounding] * K, noises=[self.noise] * K)
        told += [
            ("z_0", ball, "proved", "distance before the first step, at most, for these constants"),
            ("h", curvature.high, curvature.status, "largest eigenvalue of each example's Hessian, at most"),
            ("c", c, "proved", "contraction of a step, for these constants"),
            ("K", K, "proved", "noisy steps"),
            ("s", self.noise, "proved", "noise of each step, fresh"),
            ("rounding", rounding, how, "of one step, in floating point"),
        ]
        return {
            "bound": Z,
            "noise": noise,
            "uniform": self._start(run) == "ball" and curvature.public,
            "assumptions": tuple(Assumption(name, float(value), status, what) for name, value, status, what in told),
        }


def _move(w: Params, gradient: Any, limits: Any) -> Params:
    radius, rate, decay = limits
    v = w if radius is None else clip(w, radius)
    return jax.tree.map(lambda v, g: v - rate * (g + decay * v), v, gradient(v))
