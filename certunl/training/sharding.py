"""Training on disjoint shards of the data: the problem, and the part of a run that some of its shards are."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Params
from certunl.errors import BadInput, whole
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.schedule import Schedule
from certunl.training.shards import ShardInit, ShardLosses

__all__ = ["check_shards", "holding", "members", "only", "put_back", "sharded", "slots_of"]


def sharded(problem: Problem, shards: int) -> Problem:
    """`problem` with `shards` models, each trained on a shard of the examples of its own. Together they are one model:

        p(y | x) = (1/S) sum_s p_s(y | x)

    Training draws the shards from its key and from nothing in the data. All examples of an owner go into one shard.
    Every step takes a batch of `batch_size` from each shard. `Retrain` trains the models anew whose shards hold some of
    the request, and no others. So k examples drawn at random cost 1 − (1 − 1/S)^k of a training on average. With
    `Recipe(slices=R)` each of these goes back to its last stage without them.

    Parameters have a leading axis of length S, and so has the optimizer's memory. A clipped gradient is that of one
    model. The outputs of a regression, and those of a problem without a kind, are the mean of the models' outputs.

    Args:
        problem: the problem of one model.
        shards: S, the number of models, at least 2.

    Raises: BadInput for a problem that is sharded already or has frozen parameters, and for more shards than units.

    Source: Bourtoule et al. 2021 (SISA).

    >>> import jax, certunl as cu
    >>> data = cu.datasets.load("wine").train
    >>> problem = cu.classification(cu.models.Linear(classes=3), data)
    >>> run = cu.train(problem, cu.Recipe(epochs=2, batch_size=8), jax.random.key(0), shards=4)
    >>> run.params["Dense_0"]["bias"].shape
    (4, 3)
    """
    whole(least=2, shards=shards)
    if problem.sharded:
        raise BadInput("the problem is sharded already; give the problem of one model")
    if problem.frozen is not None:
        raise BadInput("a problem with frozen parameters cannot be sharded; train all of them, or features of its data")
    owners = problem.data.owners
    units = len(problem.data) if owners is None else len(np.unique(np.asarray(owners)))
    if shards > units:
        what = "examples" if owners is None else "owners"
        raise BadInput(f"{shards} shards need at least as many {what}, and the data have {units}")
    init, losses = ShardInit(problem.init, shards), ShardLosses(problem.losses, shards, problem.kind)
    return replace(problem, init=init, losses=losses)


def check_shards(problem: Problem, recipe: Recipe, schedule: Schedule) -> None:
    """Raises BadInput unless the schedule has as many shards as the problem, and for a sharded problem with a ball."""
    shape, shards = np.shape(schedule.divisors), problem.shards
    if problem.sharded and shape[1:] != (shards,):
        raise BadInput(f"the schedule needs divisors of shape [{len(schedule)}, {shards}] for {shards} shards")
    if not problem.sharded and len(shape) > 1:
        raise BadInput(f"the schedule has {shape[1]} shards and the problem has none; see sharded(problem, shards)")
    if problem.sharded and recipe.radius is not None:
        raise BadInput("a sharded problem is retrained exactly and needs no ball; leave radius out of the recipe")


def holding(schedule: Schedule, shards: int, gone: np.ndarray) -> np.ndarray:
    """i32[c]: the shards with a slot, of any weight, for an example of `gone bool[n]`."""
    return np.flatnonzero(slots_of(gone, schedule, shards).any(axis=(0, 2))).astype(np.int32)


def slots_of(marks: np.ndarray, schedule: Schedule, shards: int) -> np.ndarray:
    """bool[t, s, b]: the slots of the examples that `marks bool[n]` marks.

    Slots of weight 0 may hold any number. It then means the example that JAX takes for it.
    """
    return np.asarray(jnp.asarray(marks)[schedule.indices]).reshape(len(schedule), shards, -1)


def members(schedule: Schedule, shards: int) -> list[np.ndarray]:
    """The examples of each shard, i32[m], sorted: those with a slot of weight other than 0."""
    apart = (len(schedule), shards, -1)
    indices, weights = np.asarray(schedule.indices).reshape(apart), np.asarray(schedule.weights).reshape(apart)
    return [np.unique(indices[:, shard][weights[:, shard] != 0]) for shard in range(shards)]


def only(problem: Problem, start: Params, schedule: Schedule, shards: np.ndarray) -> tuple[Problem, Params, Schedule]:
    """(problem, start, schedule) of some of the shards, with the same examples and steps."""
    losses = problem.losses
    assert isinstance(losses, ShardLosses)

    def part(slots: jax.Array) -> jax.Array:
        return slots.reshape(len(slots), losses.shards, -1)[:, shards].reshape(len(slots), -1)

    slots = {name: part(vars(schedule)[name]) for name in ("indices", "weights", "divisors")}
    problem = replace(problem, losses=replace(losses, shards=len(shards)))
    return problem, jax.tree.map(lambda leaf: leaf[shards], start), replace(schedule, **slots)


def put_back(params: Params, part: Params, shards: np.ndarray) -> Params:
    """`params` of all shards, with `part` in the place of `shards`."""
    return jax.tree.map(lambda leaf, new: jnp.asarray(leaf).at[shards].set(new), params, part)
