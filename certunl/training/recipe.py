"""The settings of a training step and of the schedule."""

from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import optax

from certunl.base import Params
from certunl.errors import BadInput, measurable, nonnegative, one_of, plain_numbers, positive, whole
from certunl.training.direction import foreign, sign_of
from certunl.training.stages import MOST

__all__ = ["Recipe"]

_DIRECTIONS = {
    "sgd": optax.identity(),
    "momentum": optax.trace(decay=0.9),
    # without eps_root Adam has no derivative at a gradient of exactly 0 (blank pixels, dead units)
    "adam": optax.scale_by_adam(eps_root=1e-16),
}


@dataclass(frozen=True, kw_only=True, repr=False)
class Recipe:
    """The settings of training. One step, with g = (sum_i weights_i grad l_i)/divisor over the batch:

        g <- g min(1, clip_norm/‖g‖) + weight_decay params;   params <- project(params - rate · direction(g))

    Args:
        optimizer: the direction of a step: "sgd", "momentum" (heavy ball, 0.9), "adam", or an optax transformation.
            The transformation either gives a direction (`optax.scale_by_rms()`), or is a complete optimizer of
            learning rate 1 (`optax.sgd(1.0)`), whose updates are multiplied by the rate.
        learning_rate: the rate of step 0. A drawn schedule has the rate learning_rate · decay^t at step t.
        decay: the ratio of one step's rate to the rate before; 1 keeps the rate constant.
        weight_decay: multiple of the parameters that is added to the clipped gradient, before the optimizer.
        epochs: the number of passes over the data.
        batch_size: examples in a mini-batch, in expectation for Poisson batches.
        radius: *all* parameters are projected onto ‖params‖ <= radius after each step; None trains without a ball.
        clip_norm: the largest norm of a batch's gradient; None does not clip.
        clip_each: C, the largest norm of one example's gradient in training with noise.
        noise: z, the standard deviation of the noise of each batch's sum of gradients, in units of `clip_each`. 0
            trains without noise. See `noisy.noisy_steps` for a step with noise.
        denominator: the divisor of a batch that lost some of its examples. "batch" keeps the schedule's divisor,
            "retained" divides by the number of examples left, whatever the schedule's divisor.
        batches: how batches are drawn: "equal", "fixed", "poisson", or "secret" for training with noise, see
            `drawing.draw`.
        slices: R, the parts of the data that are learnt one after another (`stages.stage_ends`). Stage j trains on the
            parts 1 to j, in batches drawn by `batches`, and the run keeps the state between stages. So `Retrain` goes
            back to the last stage without the request. 1 learns from all the data at once.
    """

    optimizer: Any = "sgd"
    learning_rate: float = 0.05
    decay: float = 1.0
    weight_decay: float = 0.0
    epochs: int = 10
    batch_size: int = 100
    radius: float | None = None
    clip_norm: float | None = None
    clip_each: float | None = None
    noise: float = 0.0
    denominator: str = "batch"
    batches: str = "equal"
    slices: int = 1

    def __post_init__(self) -> None:
        plain_numbers(self)
        if callable(self.learning_rate):
            raise BadInput(
                "learning_rate is a number; a schedule of rates goes into the optimizer, such as "
                "Recipe(optimizer=optax.sgd(schedule), learning_rate=1.0)"
            )
        positive(learning_rate=self.learning_rate, decay=self.decay)
        limits = {"radius": self.radius, "clip_norm": self.clip_norm, "clip_each": self.clip_each}
        positive("", **limits)
        measurable("", **limits)
        nonnegative(weight_decay=self.weight_decay, noise=self.noise)
        if bool(self.noise) != (self.clip_each is not None):
            raise BadInput("training with noise needs clip_each, the largest norm of one example's gradient, and noise")
        if self.noise and self.denominator != "batch":
            raise BadInput('training with noise keeps the divisor of a batch, so denominator must be "batch"')
        whole(epochs=self.epochs, batch_size=self.batch_size, most=10**7 - 1)
        whole(most=MOST, slices=self.slices)
        if self.slices > 2 * self.epochs - 1:
            least = self.slices // 2 + 1
            raise BadInput(f"{self.slices} slices need at least {least} epochs, so that the last one is learnt in full")
        if self.slices > 1 and self.noise:
            raise BadInput("slices are for exact retraining; training with noise goes back to states= of train instead")
        one_of(("batch", "retained"), denominator=self.denominator)
        one_of(("equal", "fixed", "poisson", "secret"), batches=self.batches)
        if self.batches == "secret" and not self.noise:
            raise BadInput(
                'secret batches only hide examples beside noise; set clip_each and noise, or batches="poisson"'
            )
        if self.batches == "poisson" and self.denominator == "retained":
            raise BadInput('Poisson batches have a fixed divisor, so denominator must be "batch", got "retained"')
        if isinstance(self.optimizer, str):
            if self.optimizer not in _DIRECTIONS:
                raise BadInput(f"unknown optimizer {self.optimizer!r}; known are {', '.join(_DIRECTIONS)}")
        elif not (hasattr(self.optimizer, "init") and hasattr(self.optimizer, "update")):
            raise BadInput(f"optimizer must be a name or an optax transformation, got {self.optimizer!r}")

    def __repr__(self) -> str:
        # kept lines and reports name recipes by these words, so settings of noise stand there only where there is some
        left_out = {"clip_each", "noise"} if not self.noise else set()
        left_out |= {"slices"} if self.slices == 1 else set()
        names = [field.name for field in fields(self) if field.name not in left_out]
        return f"Recipe({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that are numbers or words, for digests of a training. `slices` is left out where it is 1."""
        plain = {name: value for name, value in vars(self).items() if isinstance(value, int | float | str | None)}
        return {name: value for name, value in plain.items() if (name, value) != ("slices", 1)}

    def direction(self, params: Params) -> tuple[optax.GradientTransformation, float]:
        """(the optax transformation, the sign with which its output is added to parameters like `params`).

        Raises: BadInput for a transformation that never moves such parameters, or for adam in float16.
        """
        if not isinstance(self.optimizer, str):
            return self.optimizer, sign_of(self.optimizer, params)
        if self.optimizer == "adam" and any(leaf.dtype == jnp.float16 for leaf in jax.tree.leaves(params)):
            raise BadInput(
                "adam's constants 1e-8 and 1e-16 are 0 in float16; use parameters in bfloat16 or float32, or "
                "optimizer=optax.scale_by_adam(eps=1e-4, eps_root=1e-7)"
            )
        return _DIRECTIONS[self.optimizer], -1.0

    def begin(self, params: Params) -> tuple[Params, Any]:
        """The loop's state before the first step: the parameters and the optimizer's memory."""
        with foreign():
            return params, self.direction(params)[0].init(params)
