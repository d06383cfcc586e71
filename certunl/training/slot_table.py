"""The slots that examples took in a training with noise, and all else that their price depends on."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from certunl.base import digest, width
from certunl.errors import BadInput
from certunl.training.noisy_gradient import microbatch, noise_grid
from certunl.training.sealing import seal_of

if TYPE_CHECKING:
    from certunl.training.run import Run

__all__ = ["DEVICE", "SlotTable", "open_questions"]

DEVICE = (
    "sums of gradients on this device round as those of float32 do, and are the same whenever they are computed from "
    "the same numbers"
)
_FOREIGN = "the kept states, and the noise that the recipe names, are those of the training"


@dataclass(frozen=True, kw_only=True, eq=False)
class SlotTable:
    """The slots that examples took in a training with noise, and all else that their price depends on.

    Args:
        indices: i32[t, b], the example in each slot; -1 in a slot without weight.
        noise: z, in units of C.
        clip_each: C, the largest norm of one example's gradient.
        microbatch: m, the examples that are summed in float32.
        cell: g, the grid of the noise.
        width: d, the number of parameters.
        seal: the digest of the training's states, recipe and data.
        unchecked: `open_questions` of the training.
        features: a digest of the features of all examples, if they came of it; empty for the training itself.
        condition: the sentence about these features in `Dataset.unchecked` that the price answers.
    """

    indices: np.ndarray
    noise: float
    clip_each: float
    microbatch: int
    cell: float
    width: int
    seal: str
    unchecked: tuple[str, ...] = ()
    features: str = ""
    condition: str = ""
    mark: str = field(default="", init=False)  # of a table that the code made: a digest of all the rest

    # metadata of a pytree: a difference would compile programs again
    def __eq__(self, other: object) -> bool:
        return isinstance(other, SlotTable)

    def __hash__(self) -> int:
        return 0

    @classmethod
    def of(cls, run: "Run") -> "SlotTable":
        """The table of a run with noise. Raises: BadInput for a run without noise."""
        if not run.recipe.noise:
            raise BadInput("this run was trained without noise; train with Recipe(clip_each=..., noise=...)")
        weighted = np.asarray(run.schedule.weights) != 0
        slots = run.schedule.indices.shape[1]
        return cls(
            indices=np.where(weighted, np.asarray(run.schedule.indices), -1).astype(np.int32),
            noise=float(run.recipe.noise),
            clip_each=float(run.recipe.clip_each or 0),
            microbatch=microbatch(run.start, slots),
            cell=noise_grid(run.recipe, slots),
            width=width(run.start),
            seal=run.provenance.noise,
        )

    def facts(self) -> dict[str, Any]:
        """What is no array, ready for JSON."""
        return {name: value for name, value in vars(self).items() if name not in ("indices", "mark")}

    def marked(self, **changes: Any) -> "SlotTable":
        """The table with `changes` by the code itself. Those of `dataclasses.replace` take the mark away."""
        table = replace(self, **changes)
        object.__setattr__(table, "mark", digest(table.facts(), table.indices))
        return table

    @property
    def own(self) -> bool:
        """Whether the table is as the code made it."""
        return self.mark == digest(self.facts(), self.indices)

    @classmethod
    def made_of(cls, indices: Any, facts: dict[str, Any]) -> "SlotTable":
        """The table of its slots and `facts`, as they were saved."""
        return cls(indices=np.asarray(indices), **{**facts, "unchecked": tuple(facts["unchecked"])}).marked()

    def taken(self, gone: np.ndarray, until: int) -> tuple[np.ndarray, np.ndarray]:
        """(slots i64[until], microbatches i64[until]) that the examples `gone bool[n]` take in the first steps."""
        here = self.indices[:until]
        slots = np.where(here >= 0, np.asarray(gone, bool)[np.maximum(here, 0)], False)
        slots = np.pad(slots, ((0, 0), (0, -slots.shape[1] % self.microbatch)))
        parts = slots.reshape(until, slots.shape[1] // self.microbatch, self.microbatch).any(axis=2).sum(axis=1)
        return slots.sum(axis=1), parts


def open_questions(run: "Run") -> tuple[str, ...]:
    """What nobody checked of a training with noise, its noise and this device, in words."""
    record = () if run.noise is None else run.noise.unchecked
    own = () if run.noise is not None and run.provenance.noise == seal_of(run) else (_FOREIGN,)
    there = "" if run.noise is None else run.noise.device
    device = (DEVICE,) if there or jax.default_backend() != "cpu" else ()
    return (*record, *own, *device)
