"""The mini-batch, example weights and step size of every training step."""

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
    """The batches of a training run, as plain arrays. A start and a schedule determine the whole trajectory.

    Args:
        indices: i32[t, b], the example in each slot of each step's batch.
        weights: f[t, b], the weight of each slot: any real numbers, 0 for padding.
        rates: f[t], the step sizes.
        divisors: f[t], the number by which each batch's weighted sum is divided; by default the number of its slots
            with nonzero weight. `without` keeps the divisors: forgetting changes the sum and not its divisor.
        numbers: i32[t], the number of each step, from which the keys of random losses follow. None: 0, 1, 2, ...
    """

    indices: Any
    weights: Any
    rates: Any
    divisors: Any = None
    numbers: Any = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, list | tuple):
                object.__setattr__(self, name, np.asarray(value))
        # JAX also builds schedules of tracers, axis numbers or None: those get no default
        if self.divisors is None and isinstance(self.weights, np.ndarray | jax.Array):
            weights = jnp.asarray(self.weights)
            object.__setattr__(self, "divisors", jnp.sum(weights != 0, axis=1).astype(weights.dtype))

    def __len__(self) -> int:
        return self.indices.shape[0]

    def arrays(self) -> dict[str, Any]:
        """The arrays by name, without `numbers` if there are none."""
        return {name: array for name, array in vars(self).items() if array is not None}

    def without(self, request: Any) -> "Schedule":
        """The same schedule with weight 0 in every slot of an example of `request` (ids `i32[k]`)."""
        return self.masked(jnp.isin(self.indices, jnp.asarray(request, self.indices.dtype)))

    def masked(self, gone: jax.Array) -> "Schedule":
        """The same schedule with weight 0 in the slots that `gone bool[t, b]` marks.

        Those slots get the index of a retained example. So losses that depend on the whole batch do not see the
        forgotten examples either.
        """
        if not self.weights.size:
            return self
        stays = jnp.argmax((~gone & (self.weights != 0)).ravel())
        indices = jnp.where(gone, self.indices.ravel()[stays], self.indices)
        return replace(self, indices=indices, weights=jnp.where(gone, 0, self.weights))

    def numbered(self, first: int = 0) -> "Schedule":
        """The same schedule with the numbers first, first + 1, ... unless it has some."""
        return self if self.numbers is not None else replace(self, numbers=first + jnp.arange(len(self)))

    def then(self, later: "Schedule") -> "Schedule":
        """This schedule followed by `later`. The narrower of the two is padded with weight 0."""
        if (self.numbers is None) != (later.numbers is None):
            return self.numbered().then(later.numbered(len(self)))
        width = max(self.indices.shape[1], later.indices.shape[1])

        def joined(a: jax.Array, b: jax.Array) -> jax.Array:
            wide = [jnp.pad(x, ((0, 0), (0, width - x.shape[1]))) if jnp.ndim(x) == 2 else x for x in (a, b)]
            return jnp.concatenate(wide)

        return jax.tree.map(joined, self, later)

    def check(self, examples: int) -> None:
        """Raises BadInput if shapes disagree, a weighted slot names no example, or a rate or weight is not finite."""
        steps = np.shape(self.rates)
        if np.ndim(self.indices) != 2 or np.shape(self.indices) != np.shape(self.weights):
            raise BadInput(
                f"indices and weights of a schedule must have the same shape [t, b], got {np.shape(self.indices)} and "
                f"{np.shape(self.weights)}"
            )
        if steps != np.shape(self.indices)[:1] or np.shape(self.divisors) != steps:
            raise BadInput(
                f"a schedule of {len(self)} steps needs {len(self)} rates and divisors, got shapes {steps} and "
                f"{np.shape(self.divisors)}"
            )
        if self.numbers is not None and np.shape(self.numbers) != steps:
            raise BadInput(f"a schedule of {len(self)} steps needs {len(self)} numbers, got {np.shape(self.numbers)}")
        indices = np.asarray(self.indices)[np.asarray(self.weights) != 0]
        if indices.size and not (indices.min() >= 0 and indices.max() < examples):
            raise BadInput(
                f"the schedule names examples {indices.min()} to {indices.max()}, but the data have examples 0 to "
                f"{examples - 1}; give padding the weight 0"
            )
        if not (np.isfinite(self.rates).all() and np.isfinite(self.weights).all()):
            raise BadInput("the rates and weights of a schedule must be finite, got NaN or infinity")


def draw(key: Key, recipe: Recipe, examples: int) -> Schedule:
    """A schedule of ceil(n/b) steps an epoch, drawn in one of three ways (`recipe.batches`).

    * "equal": a fresh permutation each epoch, cut into batches whose sizes differ by at most one. The shorter ones are
      padded with weight 0. A small last batch would multiply every bound on its step.
    * "fixed": a fresh permutation each epoch, cut into batches of exactly b. A shorter last batch is padded.
    * "poisson": each example is in each batch independently with probability b/n, and the divisor is b. Removing
      examples commutes with this sampling. So a replay without some examples has the distribution of a fresh run
      without them at the same sampling rate, divisor and number of steps.
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
