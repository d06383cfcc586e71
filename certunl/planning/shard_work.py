"""The work of forgetting from models on shards: how much of a training a request replays."""

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from certunl.errors import BadInput, whole
from certunl.planning.costs import seconds_of
from certunl.training.chunks import followed
from certunl.training.run import Run
from certunl.training.sharding import members, only

__all__ = ["Replays", "replays"]

_REQUESTS = (1, 10, 100, 1000)
_STEPS = 8
"""Number of steps of the schedule that are timed."""


@dataclass(frozen=True, kw_only=True)
class Replays:
    """The work of retraining the shards of a request. `print` shows it as a table.

    Args:
        sizes: the number of units in each shard: examples, or owners if the data have them.
        seconds: the time of a replay of one shard, and of all shards, without compilation.
        owners: whether the units are owners.
    """

    sizes: tuple[int, ...]
    seconds: tuple[float, float]
    owners: bool

    def shards(self, units: int) -> float:
        """The expected number of shards that hold some of a request for `units` units, drawn at random.

        It is sum_s 1 − C(n − n_s, k)/C(n, k) for k of n units, which for equal shards is nearly S (1 − (1 − 1/S)^k).

        >>> round(Replays(sizes=(2, 2), seconds=(1.0, 2.0), owners=False).shards(2), 3)  # 5/3
        1.667
        """
        n = sum(self.sizes)
        whole(least=1, most=n, units=units)
        return sum(1 - _none_of(size, units, n) for size in self.sizes)

    def share(self, units: int) -> float:
        """The expected share of the shards, and so of the arithmetic of a training, that such a request replays."""
        return self.shards(units) / len(self.sizes)

    def seconds_for(self, units: int) -> float:
        """The expected time of such a request."""
        one, every = self.seconds
        return one + (self.shards(units) - 1) / max(len(self.sizes) - 1, 1) * (every - one)

    def __str__(self) -> str:
        unit, n = "owners" if self.owners else "examples", sum(self.sizes)
        lines = [f"{unit + ' at random':<22}{'shards':>10}{'of a training':>16}{'seconds':>10}"]
        for k in (k for k in _REQUESTS if k < n):
            lines.append(f"{k:<22,}{self.shards(k):>10.2f}{self.share(k):>16.3f}{self.seconds_for(k):>10.3g}")
        lines.append(f"{len(self.sizes)} shards of {min(self.sizes):,} to {max(self.sizes):,} {unit}")
        most = bisect.bisect_left(range(1, n), 0.9, key=self.share) + 1
        lines.append(f"from {most:,} {unit} on, more than nine tenths are replayed; a model without shards, which is")
        lines.append("retrained as a whole, costs about as much then and has seen all the data")
        return "\n".join(lines)


def _none_of(size: int, units: int, n: int) -> float:
    """C(n − size, units)/C(n, units): the chance that none of a shard is among `units` of n."""
    if units > n - size:
        return 0.0
    gamma = math.lgamma
    return math.exp(gamma(n - size + 1) - gamma(n - size - units + 1) - gamma(n + 1) + gamma(n - units + 1))


def replays(run: Run) -> Replays:
    """The Replays of a run with shards, timed for about half a second.

    Seconds are a linear extrapolation of 8 timed steps of one shard and of all.
    Raises: BadInput for a run without shards or without a history.
    """
    run.need_history("a plan")
    if not run.problem.sharded:
        raise BadInput("this run has no shards; train with shards=, or ask plan for the costs of rows")
    owners = run.problem.data.owners
    units = np.arange(len(run.present)) if owners is None else np.asarray(owners)
    sizes = tuple(len(np.unique(units[part])) for part in members(run.schedule, run.problem.shards))
    few = min(len(run.schedule), _STEPS)
    short = replace(run, schedule=jax.tree.map(lambda a: a[:few], run.schedule))

    def work(shards: np.ndarray) -> Callable[[], Any]:
        parts = only(short.problem, short.start, short.schedule, shards)
        return lambda: followed(parts[0], run.recipe, *parts[1:])

    every = np.arange(run.problem.shards)
    seconds = [seconds_of(work(some)) / few * len(run.schedule) for some in (every[:1], every)]
    return Replays(sizes=sizes, seconds=(seconds[0], seconds[1]), owners=owners is not None)
