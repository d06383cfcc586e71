"""Digests that bind what a training left to the training itself, so that nothing else is taken for it."""

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import jax

from certunl.base import digest
from certunl.training.loop import begin
from certunl.training.losses import LOSSES
from certunl.training.modules import Supervised

if TYPE_CHECKING:
    from certunl.training.run import Run

__all__ = ["batches_of", "end_of", "seal_of", "states_of"]


def end_of(run: "Run") -> str:
    """The digest of the end of a training: its parameters and the examples that it had, with all that fixes it."""
    return digest([*_fixed(run), *_marks((run.params, run.present))], ())


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
    """The digest of the states that a training without noise kept and of its examples, with all that fixes it."""
    assert run.states is not None
    structure = jax.tree.structure(jax.eval_shape(partial(begin, run.problem, run.recipe), run.start))
    states = [list(run.states.places), *_marks((run.states.parts, run.states.present))]
    return digest([*_fixed(run), str(structure), *states], ())


def _fixed(run: "Run") -> list[Any]:
    """What fixes a training: settings, start, schedule and data."""
    return [*_settings(run), *_marks((run.start, run.schedule, *_data(run)))]


_KNOWN: dict[int, tuple[Any, str]] = {}
"""Digests of arrays that are alive, by their id, so that data are not read again for each request."""


def _marks(tree: Any) -> list[str]:
    """The digest of each leaf."""
    return [_mark(leaf) for leaf in jax.tree.leaves(tree)]


def _mark(leaf: Any) -> str:
    if not isinstance(leaf, jax.Array):  # an array of NumPy may be written over
        return digest(None, [leaf])
    place = id(leaf)
    if place not in _KNOWN or _KNOWN[place][0]() is not leaf:
        _KNOWN[place] = weakref.ref(leaf, lambda _: _KNOWN.pop(place, None)), digest(None, [leaf])
    return _KNOWN[place][1]


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
