"""Digests that bind what a training left to the training itself, so that nothing else is taken for it."""

from functools import partial
from typing import TYPE_CHECKING, Any

import jax

from certunl.base import Params, digest
from certunl.training.loop import begin
from certunl.training.losses import LOSSES
from certunl.training.marks import marks
from certunl.training.modules import Supervised

if TYPE_CHECKING:
    from certunl.training.problem import Problem
    from certunl.training.recipe import Recipe
    from certunl.training.run import Run
    from certunl.training.schedule import Schedule

__all__ = ["batches_of", "end_of", "fixed", "seal_of", "states_of"]


def end_of(run: "Run") -> str:
    """The digest of the end of a training: its parameters and the examples that it had, with all that fixes it."""
    return digest([*_of(run), *marks((run.params, run.present))], ())


def batches_of(run: "Run") -> str:
    """The digest of the batches of a training, with their size and the number of examples that they are drawn from."""
    return digest([run.recipe.batch_size, len(run.problem.data)], jax.tree.leaves(run.schedule))


def seal_of(run: "Run") -> str:
    """The digest of the states that a training with noise kept, with their steps, recipe, losses and data."""
    assert run.noise is not None
    states = run.noise.states
    leaves = [leaf for step in states for leaf in states[step]]
    return digest([*_settings(run.problem, run.recipe), list(states), run.noise.facts()], (leaves, *_data(run.problem)))


def states_of(run: "Run") -> str:
    """The digest of the states that a training without noise kept and of its examples, with all that fixes it."""
    assert run.states is not None
    structure = jax.tree.structure(jax.eval_shape(partial(begin, run.problem, run.recipe), run.start))
    states = [list(run.states.places), *marks((run.states.parts, run.states.present))]
    return digest([*_of(run), str(structure), *states], ())


def fixed(problem: "Problem", recipe: "Recipe", start: Params, schedule: "Schedule") -> list[Any]:
    """What fixes a training, ready for JSON: settings, and digests of start, schedule and data."""
    data = _data(problem)
    forms = [jax.tree.structure(tree) for tree in (data, None if problem.data.on_host else problem.data.x)]
    return [*_settings(problem, recipe), *map(str, forms), *marks((start, schedule, data))]


def _of(run: "Run") -> list[Any]:
    return fixed(run.problem, run.recipe, run.start, run.schedule)


def _settings(problem: "Problem", recipe: "Recipe") -> list[Any]:
    """Recipe and losses in words. Objects from outside have none, and what is unchecked names them."""
    losses, words = problem.one.losses, []
    if isinstance(losses, Supervised):
        own = [i for i, output_loss in enumerate(LOSSES) if output_loss is losses.output_loss]
        words = [" ".join(repr(losses.model).split()), own, losses.l2]
    return [recipe.settings, words, problem.kind, problem.randomness, problem.shards]


def _data(problem: "Problem") -> tuple[Any, ...]:
    """The arrays of the data, without inputs on the host, which are always unchecked."""
    data = problem.data
    return (None if data.on_host else jax.tree.leaves(data.x), data.y, data.owners)
