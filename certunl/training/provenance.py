"""Where a run comes from: its start and its schedule, its model and its losses."""

import weakref
from dataclasses import dataclass
from typing import Any

import jax

from certunl.base import Params, digest
from certunl.training.losses import LOSSES
from certunl.training.modules import Initializer, Supervised
from certunl.training.problem import Dataset, Problem
from certunl.training.recipe import Recipe
from certunl.training.schedule import Schedule
from certunl.training.shards import ShardInit, ShardLosses

__all__ = ["Provenance", "known", "of_parts", "own"]

_GIVEN = "the start and the schedule, which train did not draw, do not depend on the forgotten examples"
_ADOPTED = (
    "the adopted parameters{}, of whose training nothing is known, come from this model, recipe and data and from "
    "nothing else that depends on the forgotten examples"
)
_KNOWN = {f"certunl.models.{name.lower()}.{name}" for name in ("AllCNN", "CNN", "LeNet5", "Linear", "MLP", "ResNet18")}
_TOLD = "the start and the schedule ({}) do not depend on the forgotten examples"
_FOREIGN = (
    "model, initializer, losses and optimizer, which are not all certunl's own, hold nothing of the forgotten examples"
)


@dataclass(frozen=True, eq=False)
class Provenance:
    """Where the start and the schedule of a run come from.

    Only `drawn`, which `train` calls, leaves nothing unchecked. It holds for the arrays that were drawn, to the last
    bit, and not for others that are put in their place.

    Args:
        origin: where they come from, in words, if they were given.
        seal: the digest of the arrays that the code drew; empty if they were given.
        end: `sealing.end_of` the training of shards, or of its replay; empty if it is not known.
        noise: `sealing.seal_of` a training with noise; empty without noise.
        states: `sealing.states_of` a training that kept states, or of its replay; empty without them.
    """

    origin: str = ""
    seal: str = ""
    end: str = ""
    noise: str = ""
    states: str = ""
    _same: tuple[Any, ...] = ()  # weak references to arrays of the right digest, which need not be computed again

    # Compiled programs do not depend on it. It is metadata of a pytree, so a difference would compile them again.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Provenance)

    def __hash__(self) -> int:
        return 0

    def facts(self) -> dict[str, str]:
        """The fields by name, for JSON. Those without a meaning for the run are left out."""
        more = {"end": self.end, "noise": self.noise, "states": self.states}
        return {"origin": self.origin, "seal": self.seal, **{name: value for name, value in more.items() if value}}

    def __reduce__(self) -> Any:
        return Provenance, (self.origin, self.seal, self.end, self.noise, self.states)

    @classmethod
    def drawn(cls, start: Params, schedule: Schedule) -> "Provenance":
        """That of a start and a schedule that the code has just drawn."""
        leaves = jax.tree.leaves((start, schedule))
        return cls(seal=digest(None, leaves), _same=tuple(map(weakref.ref, leaves)))

    def unchecked(self, start: Params, schedule: Schedule) -> tuple[str, ...]:
        """The conditions on `start` and `schedule` that nobody checked, in words."""
        if not len(schedule):
            return (_ADOPTED.format(f" ({self.origin})" if self.origin else ""),)
        if type(schedule) is Schedule and self._holds(start, schedule):
            return ()
        return (_TOLD.format(self.origin) if self.origin else _GIVEN,)

    def _holds(self, start: Params, schedule: Schedule) -> bool:
        leaves = tuple(jax.tree.leaves((start, schedule)))
        fixed = all(isinstance(leaf, jax.Array) for leaf in leaves)  # arrays of NumPy may be written over
        if fixed and len(leaves) == len(self._same) and all(a is b() for a, b in zip(leaves, self._same, strict=True)):
            return True
        if not self.seal or digest(None, leaves) != self.seal:
            return False
        if fixed:
            object.__setattr__(self, "_same", tuple(map(weakref.ref, leaves)))
        return True


def known(model: Any) -> bool:
    """Whether it is a model of `certunl.models` whose start depends on the key alone, and which reads one example at a
    time. A class derived from one is not, nor a model whose functions were replaced."""
    named = f"{type(model).__module__}.{type(model).__qualname__}" in _KNOWN
    return named and not {"init", "apply", "__call__"} & vars(model).keys()


def own(problem: Problem, recipe: Recipe) -> bool:
    """Whether model, initializer, losses, data and optimizer are of certunl's own types.

    A module, an initializer, a loss function or an optax transformation of the user's may hold data, such as the
    outputs of an earlier model. So may a class derived from one of the library's.
    """
    init, losses = problem.one.init, problem.one.losses
    if problem.sharded and not (type(problem.init) is ShardInit and type(problem.losses) is ShardLosses):
        return False
    return (
        type(problem) is Problem
        and problem.frozen is None
        and type(problem.data) is Dataset
        and type(recipe) is Recipe
        and type(init) is Initializer
        and type(losses) is Supervised
        and losses.output_loss in LOSSES
        and known(init.model)
        and known(losses.model)
        and isinstance(recipe.optimizer, str)
    )


def of_parts(problem: Problem, recipe: Recipe) -> tuple[str, ...]:
    """The conditions that nobody checked, in words: those of the model and the data, and one on parts from outside."""
    return problem.unchecked if own(problem, recipe) else (*problem.unchecked, _FOREIGN)
