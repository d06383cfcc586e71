"""A trained model and everything that determines it."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from certunl.base import Params
from certunl.certificates.update import Update
from certunl.errors import BadInput, typed_key
from certunl.training.describing import described
from certunl.training.noisy import NoiseRecord
from certunl.training.problem import Problem
from certunl.training.provenance import Provenance, of_parts
from certunl.training.recipe import Recipe
from certunl.training.schedule import Schedule
from certunl.training.sealing import end_of, states_of
from certunl.training.states import States

__all__ = ["Run"]


@struct.dataclass
class Run:
    """A trained model and everything that determines it. A replay of `schedule` from `start` repeats the training.

    Args:
        problem: the initial parameters, losses and data.
        recipe: the settings of a training step.
        start: the parameters before the first step, a pytree of arrays.
        schedule: the mini-batches of training.
        params: the current un-noised parameters, a pytree like `start`. A request replaces them (`minus`).
        present: bool[n], true for every example that is not forgotten.
        provenance: where start and schedule come from. Default: from outside, so no certificate is PROVED.
        losses: f[t], the risk of each batch before its step, as training computed it, without noise; None if it is not
            known.
        noise: the states that a training with noise kept; None for a training without noise.
        states: the states that a training without noise kept; None if it kept none.
    """

    problem: Problem
    recipe: Recipe = struct.field(pytree_node=False)
    start: Params
    schedule: Schedule
    params: Params
    present: jax.Array
    provenance: Provenance = struct.field(pytree_node=False, default=Provenance())
    losses: jax.Array | None = None
    noise: NoiseRecord | None = struct.field(pytree_node=False, default=None)
    states: States | None = struct.field(pytree_node=False, default=None)

    def __repr__(self) -> str:
        return described(self)

    @property
    def history(self) -> bool:
        """Whether start and schedule are those of the training. A run of `adopt` has no history."""
        return len(self.schedule) > 0

    def need_history(self, what: str) -> None:
        """Raises BadInput for a run without a history. `what` names the work that follows the training."""
        if not self.history:
            raise BadInput(
                f"{what} follows training step by step, and this run was adopted without the steps of its training; "
                "train it here with train or fit, or record your own loop with certunl.record"
            )

    @property
    def rates(self) -> tuple[float, float]:
        """The rates of the first and the last step. Without a history both are the recipe's learning rate."""
        if not self.history:
            return self.recipe.learning_rate, self.recipe.learning_rate
        return float(self.schedule.rates[0]), float(self.schedule.rates[-1])

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The conditions on data, model, losses, start and schedule that nobody checked, in words.

        Every certificate names them. None is left for a run of `train` on `models.Linear`, `MLP`, `CNN`, `LeNet5`,
        `AllCNN` or `ResNet18`, with a loss of this library and an optimizer by name, on data that leave nothing
        unchecked. Inputs on the host, frozen and adopted parameters, and what a reader inferred are always named.
        """
        words = (*of_parts(self.problem, self.recipe), *self.provenance.unchecked(self.start, self.schedule))
        return tuple(dict.fromkeys(words))

    def minus(self, request: Any, params: Params | Update) -> "Run":
        """The run after the deletion of `request`, with the un-noised parameters `params`. The next request uses it.

        They may be given by their Update. If that is of `Retrain`, and leaves nothing unchecked but what the run does,
        the next retraining goes on from its shards and its states.
        """
        present = self.retained(self.check(request))
        if not isinstance(params, Update):
            return replace(self, params=params, present=present)
        update, provenance, states = params, self.provenance, self.states
        if update.guarantee.replayed and {*update.unchecked} <= {*self.unchecked}:
            # digests that `Retrain` computed: of another run or request they fit nothing here
            provenance = replace(provenance, end=update.end or provenance.end)
            if update.seal:
                states, provenance = update.states, replace(provenance, states=update.seal)
        return replace(self, params=update.params, present=present, states=states, provenance=provenance)

    @property
    def known_states(self) -> States | None:
        """The states, if they are known to be those of this training on their `present` examples; None otherwise."""
        own = self.states is not None and self.provenance.states and self.provenance.states == states_of(self)
        return self.states if own else None

    @property
    def known_end(self) -> bool:
        """Whether the parameters are known to be the end of the training of shards on the examples that are present."""
        return bool(self.provenance.end) and self.provenance.end == end_of(self)

    @property
    def replayable(self) -> bool:
        """Whether the training can be repeated step by step: with a history, and without noise."""
        return self.history and self.noise is None

    def need_one_model(self, what: str) -> None:
        """Raises BadInput for a sharded problem. `what` names the work on the parameters of one model."""
        if self.problem.sharded:
            raise BadInput(f"{what} works on one model, and this run has {self.problem.shards} shards; use Retrain")

    def retained(self, request: np.ndarray) -> jax.Array:
        """bool[n]: the examples that are present and not in `request` (as `check` returns it)."""
        present = np.array(self.present)  # on the host, because JAX would compile a program for every request size
        present[request] = False
        return jnp.asarray(present)

    def check(self, request: Any, *keys: Any) -> np.ndarray:
        """`request` as i32[k], sorted and unique.

        Raises: BadInput for an empty request, for ids outside the data or already forgotten, and for a request that
        names every remaining example; also unless each of `keys` is one of `jax.random.key`.
        """
        for key in keys:
            typed_key(key)
        ids = np.atleast_1d(np.asarray(request))
        if ids.size == 0:
            raise BadInput("the request is empty; name at least one example to forget")
        if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
            raise BadInput(f"a request is a list of example ids (whole numbers), got {ids.dtype}{list(ids.shape)}")
        ids, present = np.unique(ids), np.asarray(self.present)
        if present.dtype != bool:
            raise BadInput(f"present must be bool[n], true for examples not forgotten, got {present.dtype}")
        if ids[0] < 0 or ids[-1] >= len(present):
            wrong = ids[(ids < 0) | (ids >= len(present))]
            raise BadInput(f"the request names example {wrong[0]}, but the data have ids 0 to {len(present) - 1}")
        if not present[ids].all():
            raise BadInput(f"example {ids[~present[ids]][0]} is already forgotten; leave it out of the request")
        if len(ids) == present.sum():
            raise BadInput("the request names every remaining example and retains none; delete the model instead")
        return ids.astype(np.int32)
