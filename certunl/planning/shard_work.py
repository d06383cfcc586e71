"""The work of forgetting from models on shards: how much of a training a request replays."""

import math
from dataclasses import dataclass, replace

import jax
import numpy as np

from certunl.base import Params
from certunl.errors import BadInput, whole
from certunl.planning.costs import seconds_of
from certunl.training.loop import follow
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

        >>> round(Replays(sizes=(2, 2), seconds=(1.0, 2.0), owners=False).shards(2), 3)  # one shard for 2 of 6 pairs
        1.667
        """
        n = sum(self.sizes)
        whole(least=1, most=n, units=units)
        none = [math.prod((n - size - j) / (n - j) for j in range(units)) for size in self.sizes]
        return sum(1 - max(chance, 0.0) for chance in none)

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
        most = next((k for k in range(1, n) if self.share(k) > 0.9), n)
        lines.append(f"from {most:,} {unit} on, more than nine tenths are replayed; a model without shards, which is")
        lines.append("retrained as a whole, costs about as much then and has seen all the data")
        return "\n".join(lines)


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

    def train(part: Run) -> Params:
        return follow(part.problem, part.recipe, part.start, part.schedule)

    seconds = [seconds_of(lambda p=p: train(p)) / few * len(run.schedule) for p in (only(short, np.array([0])), short)]
    return Replays(sizes=sizes, seconds=(seconds[0], seconds[1]), owners=owners is not None)
