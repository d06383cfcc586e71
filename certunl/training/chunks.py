"""Training by chunks of its schedule: progress is reported between them, and a killed training goes on from one."""

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
from certunl.training.sealing import fixed
from certunl.training.sharding import only
from certunl.training.stages import chunks
from certunl.training.states import Parts, States, apart

__all__ = ["Keeper", "followed", "foreign_states", "identity", "staged"]


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
    if progress is None and checkpoints is None and not _apart(problem):
        return follow(problem, recipe, start, schedule)
    return staged(problem, recipe, start, schedule, progress=progress, checkpoints=checkpoints)[:2]


def staged(
    problem: Problem,
    recipe: Recipe,
    start: Params,
    schedule: Schedule,
    places: tuple[int, ...] = (),
    states: States | None = None,
    firsts: np.ndarray | None = None,
    progress: Progress | None = None,
    checkpoints: Keeper | None = None,
) -> tuple[Params, jax.Array, Parts]:
    """(final parameters, risks, the states before some steps), by chunks.

    Args:
        problem, recipe, start, schedule, progress, checkpoints: as in `followed`.
        places: the steps whose states are wanted. They lie between chunks (`stages`).
        states: those of an earlier training, from which this one goes on. Default: none.
        firsts: i32[s], the first step of each shard, `States.firsts`. Steps before it have the risk of that step.
            Devices that train shards together begin at the least. Default: the start.
    """
    firsts = np.zeros(problem.shards, int) if firsts is None else firsts
    if _apart(problem):
        return _shard_by_shard(problem, recipe, start, schedule, places, states, firsts, progress, checkpoints)
    schedule, done = jax.tree.map(np.asarray, problem.numbered(schedule)), int(firsts.min())
    state, risks = begin(problem, recipe, start), np.zeros(0)
    like, structure = jax.tree.flatten(state)
    passed: dict[int, list[jax.Array]] = {}
    if states is not None and done:
        passed = {place: _whole([part[place] for part in states.parts]) for place in places if place <= done}
        state = jax.tree.unflatten(structure, list(map(_as, like, passed[done])))
    if checkpoints is not None:
        resumed, arrays = checkpoints.begin(identity(problem, recipe, start, schedule, state, done, places))
        if resumed:
            risks, *blocks = (arrays[0], *(arrays[i : i + len(like)] for i in range(1, len(arrays), len(like))))
            state = jax.tree.unflatten(structure, list(map(_as, like, blocks[0])))
            done, before = resumed, [place for place in places if place <= resumed]
            passed = {place: list(map(jnp.asarray, of)) for place, of in zip(before, blocks[1:], strict=True)}
    report = None if progress is None else reporter(progress)
    for first, end in chunks(len(schedule)):
        if end > done:
            rows = jax.tree.map(itemgetter(slice(first, end)), schedule)
            state, part = _follow(problem, recipe, state, rows)
            risks = np.concatenate([risks if len(risks) else np.full(first, part[0]), part])
            done = end
            if end in places:
                passed[end] = list(map(_plain, jax.tree.leaves(state)))
            if checkpoints is not None:
                earlier = [leaf for leaves in passed.values() for leaf in leaves]
                checkpoints.save(done, [risks, *map(_plain, jax.tree.leaves(state)), *earlier])
            for at in range(first + 1, end + 1):
                if report is not None and at % max(1, len(schedule) // 100) == 0:
                    report(at, len(schedule), float(risks[at - 1]))
    return state[0], jnp.asarray(risks), apart(passed, problem.shards)


def _whole(parts: list[list[jax.Array]]) -> list[jax.Array]:
    """The leaves of a state, of those of each shard."""
    return parts[0] if len(parts) == 1 else list(map(jnp.concatenate, zip(*parts, strict=True)))


def _apart(problem: Problem) -> bool:
    """Whether each shard has a program of its own."""
    return problem.shards > 1 and platform() == "cpu"


def _shard_by_shard(
    problem: Problem,
    recipe: Recipe,
    start: Params,
    schedule: Schedule,
    places: tuple[int, ...],
    states: States | None,
    firsts: np.ndarray,
    progress: Any,
    checkpoints: Any,
) -> tuple[Params, jax.Array, Parts]:
    """`staged` for each shard alone: (all parameters, the mean risk of each step, all states)."""
    every, report = [], None if progress is None else reporter(progress)
    for shard in range(problem.shards):

        def tick(done: int, total: int, loss: float, before: int = shard * len(schedule)) -> None:
            assert report is not None
            report(before + done, problem.shards * total, loss)

        alone, ticks = np.array([shard]), None if report is None else tick
        part, first, slots = only(problem, start, schedule, alone)
        keeper = None if checkpoints is None else checkpoints.within(f"shard {shard}")
        if not places and ticks is None and keeper is None:
            every.append((*follow(part, recipe, first, slots), ({},)))
        else:
            earlier = None if states is None else states.of_shards(alone)
            every.append(staged(part, recipe, first, slots, places, earlier, firsts[alone], ticks, keeper))
    ends, risks, passed = zip(*every, strict=True)
    params = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *ends)
    return params, jnp.mean(jnp.stack(risks), axis=0), tuple(of[0] for of in passed)


def identity(
    problem: Problem,
    recipe: Recipe,
    start: Params,
    schedule: Schedule,
    state: Any,
    first: int = 0,
    places: tuple[int, ...] = (),
) -> str:
    """A digest of what fixes a training. Of foreign losses it has nothing, and of a foreign optimizer the structure of
    its state.

    `state` is that before step `first`, and the states before `places` are wanted.
    """
    after = (list(map(_plain, jax.tree.leaves(state))),) if first else ()
    words = [*fixed(problem, recipe, start, schedule), str(jax.tree.structure(state)), first, places]
    return digest(words, after)


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
