"""The states of a training between its start and its end, from which a replay goes on."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.training.schedule import Schedule

__all__ = ["States", "nested", "unnested"]


@dataclass(frozen=True, eq=False)
class States:
    """What a run keeps of its training without noise. It is as secret as the model.

    A state before the first slot of an example is that of a training without the example. So a replay without some
    examples may begin at the last state before the first slot of any of them.

    Args:
        places: {step: the leaves of the loop's state before it}, in order, without start and end. Of a run on shards
            they have a leading axis of the shards.
        present: bool[n], the examples that the training had.
    """

    places: dict[int, list[jax.Array]]
    present: np.ndarray

    # metadata of a pytree: a difference would compile programs again
    def __eq__(self, other: object) -> bool:
        return isinstance(other, States)

    def __hash__(self) -> int:
        return 0

    def firsts(self, schedule: Schedule, shards: int, retained: np.ndarray) -> np.ndarray:
        """i32[s]: the step from which each shard is replayed if only `retained bool[n]` stay. 0 is the start.

        A slot of weight 0 counts, because a loss may read the whole batch.
        """
        gone = self.present & ~np.asarray(retained)
        slots = gone[np.asarray(schedule.indices)].reshape(len(schedule), shards, -1).any(axis=2)
        first = np.where(slots.any(axis=0), slots.argmax(axis=0), len(schedule))
        starts = np.array([0, *self.places])
        return starts[np.searchsorted(starts, first, side="right") - 1]

    def of_shards(self, shards: np.ndarray) -> "States":
        """Those of some of the shards."""
        return States({step: [leaf[shards] for leaf in leaves] for step, leaves in self.places.items()}, self.present)

    def put_back(self, part: dict[int, list[jax.Array]], shards: np.ndarray, present: np.ndarray) -> "States":
        """All states, with `part` in the place of `shards`, of a training on `present`."""
        both = {
            step: [jnp.asarray(leaf).at[shards].set(new) for leaf, new in zip(leaves, part[step], strict=True)]
            for step, leaves in self.places.items()
        }
        return States(both, present)

    def arrays(self) -> dict[str, Any]:
        """The fields as nested dictionaries of arrays."""
        return {"present": self.present, "places": nested(self.places)}

    @classmethod
    def of(cls, arrays: dict[str, Any]) -> "States":
        """Those of their `arrays`."""
        return cls(unnested(arrays["places"]), np.asarray(arrays["present"]))


def nested(states: dict[int, list[jax.Array]]) -> dict[str, dict[str, jax.Array]]:
    """{step: leaves} as nested dictionaries."""
    return {str(step): {str(i): leaf for i, leaf in enumerate(leaves)} for step, leaves in states.items()}


def unnested(arrays: dict[str, Any]) -> dict[int, list[jax.Array]]:
    """{step: leaves}, by step, of nested dictionaries."""
    states = {int(s): [jnp.asarray(a[str(i)]) for i in range(len(a))] for s, a in arrays.items()}
    return dict(sorted(states.items()))
