"""Digests that bind what a training left to the training itself, so that nothing else is taken for it."""

from typing import TYPE_CHECKING, Any

import jax

from certunl.base import digest
from certunl.training.losses import LOSSES
from certunl.training.modules import Supervised

if TYPE_CHECKING:
    from certunl.training.run import Run

__all__ = ["batches_of", "end_of", "seal_of", "states_of"]


def end_of(run: "Run") -> str:
    """The digest of the end of a training: parameters, the examples that it had, recipe, losses and data."""
    return digest(_settings(run), (run.params, run.present, *_data(run)))


def batches_of(run: "Run") -> str:
    """The digest of the batches of a training, with their size and the number of examples that they are drawn from."""
    return digest([run.recipe.batch_size, len(run.problem.data)], jax.tree.leaves(run.schedule))


def seal_of(run: "Run") -> str:
    """The digest of the states that a training with noise kept, with their steps, recipe, losses and data."""
    assert run.noise is not None
    states = run.noise.states
    leaves = [leaf for step in states for leaf in states[step]]
    return digest([*_settings(run), list(states), run.noise.facts()], (leaves, *_data(run)))


def states_of(run: "Run") -> str:
    """The digest of the states that a training without noise kept, with all that determines them."""
    assert run.states is not None
    arrays = jax.tree.leaves((run.start, run.schedule, run.states.arrays()))
    return digest([*_settings(run), list(run.states.places)], (arrays, *_data(run)))


def _settings(run: "Run") -> list[Any]:
    """Recipe and losses in words. Objects from outside have none, and what is unchecked names them."""
    losses, problem = run.problem.one.losses, run.problem
    words = []
    if isinstance(losses, Supervised):
        own = [i for i, output_loss in enumerate(LOSSES) if output_loss is losses.output_loss]
        words = [" ".join(repr(losses.model).split()), own, losses.l2]
    return [run.recipe.settings, words, problem.kind, problem.randomness, problem.shards]


def _data(run: "Run") -> tuple[Any, ...]:
    """The arrays of the data, without inputs on the host, which are always unchecked."""
    data = run.problem.data
    return (None if data.on_host else jax.tree.leaves(data.x), data.y, data.owners)
