"""How a model is trained: the settings of one step and of the schedule."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from certunl.base import Params
from certunl.errors import BadInput, nonnegative, one_of, positive, whole

__all__ = ["Recipe"]

_DIRECTIONS = {
    "sgd": optax.identity(),
    "momentum": optax.trace(decay=0.9),
    # eps_root: without it Adam has no derivative where a gradient is exactly 0 (blank pixels, dead units)
    "adam": optax.scale_by_adam(eps_root=1e-16),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained. One step, with g = (sum_i weights_i grad l_i)/divisor over the batch:

        g <- g min(1, clip_norm/‖g‖) + weight_decay params;   params <- project(params - rate · direction(g))

    `optimizer` is "sgd", "momentum" (heavy ball, 0.9), "adam", or an optax transformation: one that gives a direction
    (`optax.scale_by_rms()`), or a whole optimizer of unit learning rate (`optax.sgd(1.0)`), whose updates are
    multiplied by the rate. Rates are learning_rate · decay^t with t counting steps. `radius` projects *all*
    parameters onto ‖params‖ <= radius after each step. `denominator` says what a batch is divided by when some of its
    examples are gone: "batch" its original size, "retained" the number left (whatever the schedule's divisors).
    `batches`: see `schedule.draw`.
    """

    optimizer: Any = "sgd"
    learning_rate: float = 0.05
    decay: float = 1.0
    weight_decay: float = 0.0
    epochs: int = 10
    batch_size: int = 100
    radius: float | None = None
    clip_norm: float | None = None
    denominator: str = "batch"
    batches: str = "equal"

    def __post_init__(self) -> None:
        positive(learning_rate=self.learning_rate, decay=self.decay)
        positive("", radius=self.radius, clip_norm=self.clip_norm)
        nonnegative(weight_decay=self.weight_decay)
        whole(epochs=self.epochs, batch_size=self.batch_size, most=10**7 - 1)
        one_of(("batch", "retained"), denominator=self.denominator)
        one_of(("equal", "fixed", "poisson"), batches=self.batches)
        if self.batches == "poisson" and self.denominator == "retained":
            raise BadInput('Poisson batches have a fixed divisor: use denominator="batch" with them')
        self.direction()

    def direction(self) -> tuple[optax.GradientTransformation, float]:
        """The optax transformation, and the sign with which its output is added to the parameters."""
        if isinstance(self.optimizer, str):
            if self.optimizer not in _DIRECTIONS:
                raise BadInput(f"unknown optimizer {self.optimizer!r}; known are {', '.join(_DIRECTIONS)}")
            return _DIRECTIONS[self.optimizer], -1.0
        if not (hasattr(self.optimizer, "init") and hasattr(self.optimizer, "update")):
            raise BadInput(f"optimizer must be a name or an optax transformation, got {self.optimizer!r}")
        with jax.ensure_compile_time_eval():
            one = jnp.ones(())
            moved = float(self.optimizer.update(one, self.optimizer.init(one), one)[0])
        if not abs(moved) > 0:
            raise BadInput(
                "the optax transformation does not move on its first step, so its sign cannot be told; "
                "wrap one that does"
            )
        return self.optimizer, -1.0 if moved > 0 else 1.0

    def begin(self, params: Params) -> tuple[Params, Any]:
        """The loop's state before the first step: parameters and the optimizer's memory."""
        return params, self.direction()[0].init(params)
