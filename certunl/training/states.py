"""The states of a training between its start and its end, from which a replay goes on."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.errors import BadInput
from certunl.training.schedule import Schedule
from certunl.training.sharding import slots_of

__all__ = ["Parts", "States", "apart", "check_states", "nested", "unnested"]

Parts = tuple[dict[int, list[jax.Array]], ...]
"""The states of each shard by their steps."""


@dataclass(frozen=True, eq=False)
class States:
    """What a run keeps of its training without noise. It is as secret as the model.

    A state before the first slot of an example is that of a training without the example. So a replay without some
    examples may begin at the last state before the first slot of any of them.

    Args:
        parts: for each shard {step: the leaves of the loop's state before it}, in order, without start and end. A run
            without shards has one part. Leaves of a shard have a leading axis of length 1.
        present: bool[n], the examples that the training had.
    """

    parts: tuple[dict[int, list[jax.Array]], ...]
    present: np.ndarray

    # metadata of a pytree: a difference would compile programs again
    def __eq__(self, other: object) -> bool:
        return isinstance(other, States)

    def __hash__(self) -> int:
        return 0

    @property
    def places(self) -> tuple[int, ...]:
        """The steps before which there is a state."""
        return tuple(self.parts[0])

    def firsts(self, schedule: Schedule, retained: np.ndarray) -> np.ndarray:
        """i32[s]: the step from which each shard is replayed if only `retained bool[n]` stay. 0 is the start.

        A slot of weight 0 counts, because a loss may read the whole batch.
        """
        gone = slots_of(self.present & ~np.asarray(retained), schedule, len(self.parts)).any(axis=2)
        first = np.where(gone.any(axis=0), gone.argmax(axis=0), len(schedule))
        starts = np.array([0, *self.places])
        return starts[np.searchsorted(starts, first, side="right") - 1]

    def of_shards(self, shards: np.ndarray) -> "States":
        """Those of some of the shards."""
        return replace(self, parts=tuple(self.parts[shard] for shard in shards))

    def put_back(self, parts: Parts, shards: np.ndarray, present: np.ndarray) -> "States":
        """All states, with `parts` in the place of `shards`, of a training on `present`."""
        both = dict(enumerate(self.parts)) | dict(zip(shards.tolist(), parts, strict=True))
        return States(tuple(both.values()), present)

    def arrays(self) -> dict[str, Any]:
        """The fields as nested dictionaries of arrays, with the shards of each leaf together."""
        places = {place: [part[place] for part in self.parts] for place in self.places}
        if len(self.parts) > 1:
            whole = {place: list(map(jnp.concatenate, zip(*of, strict=True))) for place, of in places.items()}
        else:
            whole = {place: of[0] for place, of in places.items()}
        return {"present": self.present, "shards": np.asarray(len(self.parts)), "places": nested(whole)}

    @classmethod
    def of(cls, arrays: dict[str, Any]) -> "States":
        """Those of their `arrays`."""
        whole, shards = unnested(arrays["places"]), int(arrays["shards"])
        return cls(apart(whole, shards), np.asarray(arrays["present"]))


def apart(whole: dict[int, list[jax.Array]], shards: int) -> Parts:
    """The states of each shard, of leaves with an axis of the shards if there are several."""
    if shards == 1:
        return (whole,)
    return tuple(
        {place: [leaf[i : i + 1] for leaf in leaves] for place, leaves in whole.items()} for i in range(shards)
    )


def check_states(schedule: Schedule, examples: int, places: set[int]) -> None:
    """Raises BadInput if there are `places` of states, and nobody of the examples comes first after one of them."""
    first = np.full(examples, len(schedule))
    weighted = np.asarray(schedule.weights) != 0
    steps = np.broadcast_to(np.arange(len(schedule))[:, None], weighted.shape)[weighted]
    np.minimum.at(first, np.asarray(schedule.indices)[weighted], steps)
    if places and not (first[first < len(schedule)] >= min(places)).any():
        raise BadInput(
            f"states would serve no request: every example is learnt before step {min(places)}, the first of them; "
            "train with Recipe(slices=...), or for one epoch"
        )


def nested(states: dict[int, list[jax.Array]]) -> dict[str, dict[str, jax.Array]]:
    """{step: leaves} as nested dictionaries."""
    return {str(step): {str(i): leaf for i, leaf in enumerate(leaves)} for step, leaves in states.items()}


def unnested(arrays: dict[str, Any]) -> dict[int, list[jax.Array]]:
    """{step: leaves}, by step, of nested dictionaries."""
    states = {int(s): [jnp.asarray(a[str(i)]) for i in range(len(a))] for s, a in arrays.items()}
    return dict(sorted(states.items()))
