"""Training by chunks of its schedule: progress is reported between them, and a killed training goes on from one."""

from collections.abc import Iterator
from functools import partial
from operator import itemgetter
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Params, Progress, digest, platform, reporter
from certunl.training.loop import begin, follow, step
from certunl.training.placing import like as placed_like
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.schedule import Schedule
from certunl.training.sharding import only

__all__ = ["Keeper", "followed", "foreign_states", "identity"]


class Keeper(Protocol):
    """The contract of `Checkpoints`: it keeps the state of a training between two chunks.

    `spent` is the time in seconds that earlier calls took to reach the state, once `begin` has found one.
    """

    spent: float

    def within(self, name: str) -> "Keeper":
        """One of another training, which belongs to the same work."""
        ...

    def begin(self, identity: str) -> tuple[int, list[Any]]:
        """(the number of steps that are done, the arrays that `save` got), or (0, []) for a training without any.

        Raises: BadInput if they belong to a training of another `identity`.
        """
        ...

    def save(self, steps: int, arrays: list[Any]) -> None:
        """Keeps the arrays after that many steps. It may do nothing if the last call was a moment ago."""
        ...


def foreign_states(checkpoints: Keeper | None) -> tuple[str, ...]:
    """What nobody checked if the state was kept by anything but `Checkpoints`: it could hand back any parameters."""
    kind = type(checkpoints)
    if checkpoints is None or (kind.__module__, kind.__qualname__) == ("certunl.folders.resuming", "Checkpoints"):
        return ()
    return (f"the states that {kind.__qualname__} kept are those of this training",)


def followed(
    problem: Problem,
    recipe: Recipe,
    start: Params,
    schedule: Schedule,
    progress: Progress | None = None,
    checkpoints: Keeper | None = None,
) -> tuple[Params, jax.Array]:
    """`loop.follow`, as one program for each of about a hundred chunks if there is something to do between them.

    A chunk computes the same numbers as the same steps of the whole, to the last bit (on one device and version), so
    it makes no difference where a training was interrupted.

    On a CPU, the models of several shards are trained one after another by one program. So a model has the same bits
    whichever others are trained with it, and all take about as long as in one program. Other devices train all shards
    together.

    Args:
        problem, recipe, start, schedule: as in `follow`.
        progress: called after each chunk, about a hundred times in all, with (steps done, steps in all) and with the
            loss of the last batch if it has a third parameter.
        checkpoints: what keeps the state between chunks. Default: nothing does.
    """
    if problem.shards > 1 and platform() == "cpu":
        return _shard_by_shard(problem, recipe, start, schedule, progress, checkpoints)
    if progress is None and checkpoints is None:
        return follow(problem, recipe, start, schedule)
    schedule = jax.tree.map(np.asarray, problem.numbered(schedule))
    done, state, risks = 0, begin(problem, recipe, start), np.zeros(0)
    if checkpoints is not None:
        done, arrays = checkpoints.begin(identity(problem, recipe, start, schedule, state))
        if done:
            leaves, structure = jax.tree.flatten(state)
            state = jax.tree.unflatten(structure, list(map(_as, leaves, arrays[1:])))
            risks = np.asarray(arrays[0])
    report = None if progress is None else reporter(progress)
    for first, end in _chunks(len(schedule)):
        if end > done:
            rows = jax.tree.map(itemgetter(slice(first, end)), schedule)
            state, part = _follow(problem, recipe, state, rows)
            risks = np.concatenate([risks, part]) if done else np.asarray(part)
            done = end
            if checkpoints is not None:
                checkpoints.save(done, [risks, *map(_plain, jax.tree.leaves(state))])
            for at in range(first + 1, end + 1):
                if report is not None and at % max(1, len(schedule) // 100) == 0:
                    report(at, len(schedule), float(risks[at - 1]))
    return state[0], jnp.asarray(risks)


def _shard_by_shard(
    problem: Problem, recipe: Recipe, start: Params, schedule: Schedule, progress: Any, checkpoints: Any
) -> tuple[Params, jax.Array]:
    """`followed` for each shard alone: (all parameters, the mean risk of each step)."""
    ends, risks, report = [], [], None if progress is None else reporter(progress)
    for shard in range(problem.shards):

        def tick(done: int, total: int, loss: float, before: int = shard * len(schedule)) -> None:
            assert report is not None
            report(before + done, problem.shards * total, loss)

        part, first, slots = only(problem, start, schedule, np.array([shard]))
        keeper = None if checkpoints is None else checkpoints.within(f"shard {shard}")
        params, losses = followed(part, recipe, first, slots, None if report is None else tick, keeper)
        ends.append(params)
        risks.append(losses)
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *ends), jnp.mean(jnp.stack(risks), axis=0)


def identity(problem: Problem, recipe: Recipe, start: Params, schedule: Schedule, state: Any) -> str:
    """A digest of what fixes a training. Of a foreign optimizer it has the structure of the state alone."""
    own = {name: value for name, value in vars(recipe).items() if isinstance(value, int | float | str | None)}
    return digest([own, str(jax.tree.structure(state))], (start, vars(schedule), problem.data.y))


def _plain(leaf: jax.Array) -> jax.Array:
    """A leaf of the state as numbers. An optimizer may hold a typed key."""
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _as(like: jax.Array, numbers: Any) -> jax.Array:
    """The leaf whose `_plain` is `numbers`."""
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(numbers), impl=jax.random.key_impl(like))
    return placed_like(jnp.asarray(numbers), like)


@partial(jax.jit, static_argnames=("recipe",))
def _follow(problem: Problem, recipe: Recipe, state: Any, schedule: Schedule) -> tuple[Any, jax.Array]:
    """(the state after these steps, the risk of each batch)."""

    def body(state: Any, row: Schedule) -> tuple[Any, jax.Array]:
        return step(problem, recipe, state, row, jnp.ones_like(row.weights))

    return jax.lax.scan(body, state, schedule)


def _chunks(total: int) -> Iterator[tuple[int, int]]:
    """(first, end) of each chunk: about a hundred of one size, and a last one of at least two steps.

    XLA compiles a loop of one step in another way. Two sizes are compiled twice, so one that divides all is taken.
    """
    least = max(2, total // 100)
    size = next((size for size in range(least, 2 * least) if total % size == 0), least)
    ends = [*range(size, total - 1, size), total]
    yield from zip([0, *ends[:-1]], ends, strict=True)
