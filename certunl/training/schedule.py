"""Which examples each training step sees, with what weight and step size."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from certunl.base import Key
from certunl.errors import BadInput
from certunl.training.recipe import Recipe

__all__ = ["Schedule", "draw"]


@struct.dataclass
class Schedule:
    """`indices i32[t, b]`, `weights f[t, b]` (any real numbers; 0 is padding), `rates f[t]`, `divisors f[t]`.

    `divisors` defaults to the number of slots with a weight when the schedule is made, and `without` keeps them:
    forgetting changes who is summed, not what the sum is divided by. Plain arrays: start + schedule is the
    trajectory.
    """

    indices: Any
    weights: Any
    rates: Any
    divisors: Any = None

    def __post_init__(self) -> None:
        for name, held in vars(self).items():
            if isinstance(held, list | tuple):
                object.__setattr__(self, name, np.asarray(held))
        if self.divisors is None and isinstance(self.weights, np.ndarray | jax.Array):
            weights = jnp.asarray(self.weights)
            object.__setattr__(self, "divisors", jnp.sum(weights != 0, axis=1).astype(weights.dtype))

    def __len__(self) -> int:
        return self.indices.shape[0]

    def without(self, request: Any) -> "Schedule":
        """The same schedule with weight 0 wherever an example of `request` (ids `i32[k]`) stands."""
        return self.masked(jnp.isin(self.indices, jnp.asarray(request, self.indices.dtype)))

    def masked(self, gone: jax.Array) -> "Schedule":
        """The same schedule with weight 0 where `gone bool[t, b]`, and somebody who stays in the place of who goes: not
        even losses that look at a whole batch see them."""
        if not self.weights.size:
            return self
        stays = jnp.argmax((~gone & (self.weights != 0)).ravel())
        indices = jnp.where(gone, self.indices.ravel()[stays], self.indices)
        return replace(self, indices=indices, weights=jnp.where(gone, 0, self.weights))

    def then(self, later: "Schedule") -> "Schedule":
        """This schedule and after it `later`; the narrower is padded with weight 0."""
        width = max(self.indices.shape[1], later.indices.shape[1])

        def joined(a: jax.Array, b: jax.Array) -> jax.Array:
            wide = [jnp.pad(x, ((0, 0), (0, width - x.shape[1]))) if jnp.ndim(x) == 2 else x for x in (a, b)]
            return jnp.concatenate(wide)

        return jax.tree.map(joined, self, later)

    def check(self, examples: int) -> None:
        """Raises BadInput where shapes disagree, a weighted slot names no example, or a rate is not finite."""
        steps = np.shape(self.rates)
        if np.ndim(self.indices) != 2 or np.shape(self.indices) != np.shape(self.weights):
            raise BadInput(
                f"a schedule has indices and weights of one shape [t, b], got {np.shape(self.indices)} and "
                f"{np.shape(self.weights)}"
            )
        if steps != np.shape(self.indices)[:1] or np.shape(self.divisors) != steps:
            raise BadInput(f"a schedule of {len(self)} steps needs that many rates and divisors, got {steps}")
        indices = np.asarray(self.indices)[np.asarray(self.weights) != 0]
        if indices.size and not (indices.min() >= 0 and indices.max() < examples):
            raise BadInput(
                f"the schedule names examples {indices.min()} to {indices.max()}, the data have 0 to {examples - 1}; "
                "give padding weight 0"
            )
        if not (np.isfinite(self.rates).all() and np.isfinite(self.weights).all()):
            raise BadInput("the schedule holds a rate or weight that is NaN or infinite")


def draw(key: Key, recipe: Recipe, examples: int) -> Schedule:
    """A schedule of ceil(n/b) steps an epoch, drawn as `recipe.batches` says.

    * "equal": a fresh permutation each epoch, cut into batches whose sizes differ by at most one (a small last batch
      would multiply every bound on its step); the shorter are padded with weight 0.
    * "fixed": a fresh permutation each epoch, cut into batches of exactly b, the ragged last one padded.
    * "poisson": each example is in each batch with probability b/n independently, divisor b: dropping examples
      commutes with sampling, so a replay without them has the law of a fresh run without them at the same rate,
      divisor and number of steps.
    """
    n, b = examples, min(recipe.batch_size, examples)
    per_epoch = -(-n // b)
    steps = per_epoch * recipe.epochs
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    if recipe.batches == "poisson":
        sizes = generator.binomial(n, b / n, size=steps)
        rows = [generator.choice(n, size=size, replace=False, shuffle=False) for size in sizes]
        divisors = np.full(steps, b)
    else:
        cuts = np.linspace(0, n, per_epoch + 1).round().astype(int)
        if recipe.batches == "fixed":
            cuts = np.minimum(np.arange(per_epoch + 1) * b, n)
        rows = [row for _ in range(recipe.epochs) for row in np.split(generator.permutation(n), cuts[1:-1])]
        sizes = divisors = np.array([len(row) for row in rows])
    weighted = np.arange(max(b, sizes.max())) < sizes[:, None]
    indices = np.zeros(weighted.shape, np.int32)
    indices[weighted] = np.concatenate(rows)
    rates = recipe.learning_rate * recipe.decay ** np.arange(steps)
    return Schedule(*(jnp.asarray(a) for a in (indices, weighted.astype(float), rates, divisors.astype(float))))
