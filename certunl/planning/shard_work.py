"""The work of exact forgetting from shards and from states: how much of a training a request replays."""

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import platform
from certunl.errors import BadInput, whole
from certunl.planning.costs import seconds_of
from certunl.training.chunks import followed
from certunl.training.run import Run
from certunl.training.sharding import members, only
from certunl.training.states import States

__all__ = ["Replays", "replays"]

_REQUESTS = (1, 10, 100, 1000)
_STEPS = 8
"""Number of steps of the schedule that are timed, and then four times as many."""


@dataclass(frozen=True, kw_only=True)
class Replays:
    """The work of replaying a training without a request. `print` shows it as a table.

    Args:
        sizes: the number of units in each shard: examples, or owners if the data have them.
        seconds: the time of a replay of one shard, and of all shards, without compilation.
        owners: whether the units are owners.
        stages: the steps between two states as a share of all steps, and the number of units in each shard whose
            request repeats them. All units of all shards: every request does. Default: a request repeats all steps of
            its shards.
        together: the shards are trained by one program, which goes back to the earliest state that one of them needs.
    """

    sizes: tuple[int, ...]
    seconds: tuple[float, float]
    owners: bool
    stages: tuple[tuple[float, tuple[int, ...]], ...] = ()
    together: bool = False

    def shards(self, units: int) -> float:
        """The expected number of shards that hold some of a request for `units` units, drawn at random.

        It is sum_s 1 − C(n − n_s, k)/C(n, k) for k of n units, which for equal shards is nearly S (1 − (1 − 1/S)^k).

        >>> round(Replays(sizes=(2, 2), seconds=(1.0, 2.0), owners=False).shards(2), 3)  # 5/3
        1.667
        """
        return self._some(self.sizes, units)

    def share(self, units: int) -> float:
        """The expected share of a training, over all shards and steps, that such a request repeats.

        >>> halves = Replays(sizes=(4,), seconds=(1.0, 1.0), owners=False, stages=((1 / 3, (2,)), (2 / 3, (4,))))
        >>> round(halves.share(1), 3)  # half of the units repeat all, half of them the second stage
        0.833
        """
        shards = 0.0
        for steps, sizes in self.stages or ((1.0, self.sizes),):
            if self.together:  # a shard with some of the request repeats the stages of the earliest one of all
                early, n = sum(sizes), sum(self.sizes)
                both = [early + size - part for size, part in zip(self.sizes, sizes, strict=True)]
                none = [_none_of(size, units, n) + _none_of(early, units, n) for size in self.sizes]
                shards += steps * sum(1 - one + _none_of(all_, units, n) for one, all_ in zip(none, both, strict=True))
            else:
                shards += steps * self._some(sizes, units)
        return shards / len(self.sizes)

    def seconds_for(self, units: int) -> float:
        """The expected time of such a request, by its share of a training."""
        one, every = self.seconds
        shards = self.share(units) * len(self.sizes)
        return one * min(shards, 1.0) + max(shards - 1, 0.0) / max(len(self.sizes) - 1, 1) * (every - one)

    def _some(self, sizes: tuple[int, ...], units: int) -> float:
        """The expected number of sets of these sizes, one of each shard, with some of `units` units."""
        n = sum(self.sizes)
        whole(least=1, most=n, units=units)
        return sum(1 - _none_of(size, units, n) for size in sizes)

    def __str__(self) -> str:
        unit, n = "owners" if self.owners else "examples", sum(self.sizes)
        lines = [f"{unit + ' at random':<22}{'shards':>10}{'of a training':>16}{'seconds':>10}"]
        for k in (k for k in _REQUESTS if k < n):
            lines.append(f"{k:<22,}{self.shards(k):>10.2f}{self.share(k):>16.3f}{self.seconds_for(k):>10.3g}")
        if len(self.sizes) > 1:
            lines.append(f"{len(self.sizes)} shards of {min(self.sizes):,} to {max(self.sizes):,} {unit}")
        if len(self.stages) > 1:
            lines.append(f"{len(self.stages) - 1} states, to which a replay can go back, beside the start")
        most = bisect.bisect_left(range(1, n), 0.9, key=self.share) + 1
        lines.append(
            f"from a request for {most:,} on, more than nine tenths are replayed; a model that is retrained as"
        )
        lines.append("a whole, without shards or slices, costs about as much then")
        lines.append("seconds are those of the steps; digests of the data and of new states come on top")
        return "\n".join(lines)


def _none_of(size: int, units: int, n: int) -> float:
    """C(n − size, units)/C(n, units): the chance that none of a shard is among `units` of n."""
    if units > n - size:
        return 0.0
    gamma = math.lgamma
    return math.exp(gamma(n - size + 1) - gamma(n - size - units + 1) - gamma(n + 1) + gamma(n - units + 1))


def replays(run: Run) -> Replays:
    """The Replays of a run with shards or with states of its training, timed for about a second.

    Seconds are a linear extrapolation of 8 and 32 timed steps of one shard and of all.
    Raises: BadInput for a run without either, or without a history.
    """
    run.need_history("a plan")
    states, problem = run.known_states, run.problem
    if not problem.sharded and states is None:
        raise BadInput(
            "this run has no shards and no states that are known to be its own; train with shards= or slices, or ask "
            "plan for rows"
        )
    owners, present = problem.data.owners, np.asarray(run.present)
    units = np.arange(len(present)) if owners is None else np.asarray(owners)
    parts = [part[present[part]] for part in members(run.schedule, problem.shards)]
    steps = len(run.schedule)

    def work(shards: np.ndarray, count: int) -> Callable[[], Any]:
        short = problem, run.start, jax.tree.map(lambda a: a[:count], run.schedule)
        one, start, schedule = only(*short, shards) if problem.sharded else short
        return lambda: followed(one, run.recipe, start, schedule)

    def time(shards: np.ndarray) -> float:
        short, long = (min(steps, count) for count in (_STEPS, 4 * _STEPS))
        first, second = (seconds_of(work(shards, count)) for count in (short, long))
        return second + (steps - long) * max(second - first, 0.0) / max(long - short, 1)

    every = np.arange(problem.shards)
    seconds = [time(some) for some in (every[:1], every)]
    return Replays(
        sizes=tuple(len(np.unique(units[part])) for part in parts),
        seconds=(seconds[0], seconds[1]),
        owners=owners is not None,
        stages=_stages(run, states, units, parts),
        together=platform() != "cpu",
    )


def _stages(run: Run, states: States | None, units: np.ndarray, parts: list[np.ndarray]) -> Any:
    """`Replays.stages`: a unit repeats the steps after the last state before the first slot of its examples.

    Where the run does not know that its parameters are the end of the training without everyone forgotten, every shard
    is replayed, at least from the last state without them.
    """
    steps, starts = len(run.schedule), np.array([0, *(() if states is None else states.places)])
    indices = np.asarray(jnp.arange(len(units))[run.schedule.indices])
    first = np.full(len(units), steps)
    np.minimum.at(first, indices, np.broadcast_to(np.arange(steps)[:, None], indices.shape))
    again = np.full(len(parts), steps)
    if not (run.problem.sharded and run.known_end):
        again[:] = 0 if states is None else states.firsts(run.schedule, np.asarray(run.present))
    everyone, stages = sum(len(np.unique(units[part])) for part in parts), []
    for begin, end in pairwise([*starts.tolist(), steps]):
        of = [len(np.unique(units[part[first[part] < end]])) for part in parts]
        sizes = [everyone if place <= begin else size for place, size in zip(again.tolist(), of, strict=True)]
        stages.append(((end - begin) / steps, tuple(sizes)))
    return tuple(stages)
