"""The mini-batch, example weights and step size of every training step."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from certunl.errors import BadInput

__all__ = ["Schedule"]


@struct.dataclass
class Schedule:
    """The batches of a training run, as plain arrays. A start and a schedule determine the whole trajectory.

    Args:
        indices: i32[t, b], the example in each slot of each step's batch.
        weights: f[t, b], the weight of each slot: any real numbers, 0 for padding.
        rates: f[t], the step sizes.
        divisors: f[t], the number by which each batch's weighted sum is divided; by default the number of its slots
            with nonzero weight. `without` keeps the divisors: forgetting changes the sum and not its divisor. Of a
            sharded problem f[t, s]: the slots of a step are those of the first shard, then those of the second, ...
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

    @property
    def shards(self) -> int:
        """The number of shards, to each of which an equal part of the slots of a step belongs; 1 without shards."""
        return self.divisors.shape[1] if jnp.ndim(self.divisors) == 2 else 1

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
        shards = self.shards
        apart = (len(self), shards, -1)
        stays = jnp.moveaxis((~gone & (self.weights != 0)).reshape(apart), 1, 0).reshape(shards, -1)
        slots = jnp.moveaxis(self.indices.reshape(apart), 1, 0).reshape(shards, -1)
        one = jnp.take_along_axis(slots, jnp.argmax(stays, axis=1)[:, None], axis=1)[:, 0]  # of each shard
        one = jnp.where(jnp.any(stays, axis=1), one, one[jnp.argmax(jnp.any(stays, axis=1))])
        filler = jnp.repeat(one, self.indices.shape[1] // shards)
        return replace(self, indices=jnp.where(gone, filler, self.indices), weights=jnp.where(gone, 0, self.weights))

    def numbered(self, first: int = 0) -> "Schedule":
        """The same schedule with the numbers first, first + 1, ... unless it has some."""
        return self if self.numbers is not None else replace(self, numbers=first + jnp.arange(len(self)))

    def then(self, later: "Schedule") -> "Schedule":
        """This schedule followed by `later`. The narrower of the two is padded with weight 0."""
        if (self.numbers is None) != (later.numbers is None):
            return self.numbered().then(later.numbered(len(self)))
        width = max(self.indices.shape[1], later.indices.shape[1])
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), self.padded(width), later.padded(width))

    def padded(self, width: int) -> "Schedule":
        """The same schedule with `width` slots a step. New ones have weight 0, and stand at the end of each shard."""
        shards = self.shards

        def wide(slots: jax.Array, how: str) -> jax.Array:
            apart = slots.reshape(len(slots), shards, -1)
            more = width // shards - apart.shape[2]
            return jnp.pad(apart, ((0, 0), (0, 0), (0, more)), how).reshape(len(slots), -1)

        # a slot of weight 0 of a shard holds an example of the shard
        how = "constant" if shards == 1 else "edge"
        return replace(self, indices=wide(self.indices, how), weights=wide(self.weights, "constant"))

    def check(self, examples: int) -> None:
        """Raises BadInput if shapes disagree, a weighted slot names no example, or a rate or weight is not finite."""
        steps = np.shape(self.rates)
        if np.ndim(self.indices) != 2 or np.shape(self.indices) != np.shape(self.weights):
            raise BadInput(
                f"indices and weights of a schedule must have the same shape [t, b], got {np.shape(self.indices)} and "
                f"{np.shape(self.weights)}"
            )
        shards = np.shape(self.divisors)[1:]
        fits = not shards or (len(shards) == 1 and shards[0] > 0 and np.shape(self.indices)[1] % shards[0] == 0)
        if steps != np.shape(self.indices)[:1] or np.shape(self.divisors)[:1] != steps or not fits:
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
