"""The replay of a run without some examples, from the last states that hold nothing of them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import jax
import numpy as np

from certunl.base import Params, platform
from certunl.training.chunks import Keeper, staged
from certunl.training.loop import check_finite, replay
from certunl.training.marks import owned
from certunl.training.placing import like
from certunl.training.sharding import holding, only, put_back
from certunl.training.states import States

if TYPE_CHECKING:
    from certunl.training.run import Run

__all__ = ["Replay", "replayed"]


@dataclass(frozen=True)
class Replay:
    """The end of a replay.

    Args:
        params: the parameters of the run without the forgotten.
        states: the states on the way, for the next replay; None if the run has none.
        shards: the number of shards that were replayed.
        share: the share of the training's steps that was repeated, over all shards.
    """

    params: Params
    states: States | None
    shards: int
    share: float


def replayed(run: "Run", request: np.ndarray, retained: jax.Array, checkpoints: Keeper | None) -> Replay:
    """The replay of a run with only the examples that `retained bool[n]` marks.

    Shards without any of the `request` stay as they are, if the parameters of the run are known to be the end of a
    training or of a replay. Each of the others goes on from the last state of the run before the first slot of anyone
    who is forgotten, if the run has states that are known to be those of its training.

    Raises: Diverged if the loss becomes NaN or infinite.
    """
    problem, schedule, stays = run.problem, run.schedule, np.asarray(retained)
    states, shards, steps = run.known_states, problem.shards, len(run.schedule)
    if states is not None and (stays & ~states.present).any():
        states = None
    touched = np.arange(shards)
    if problem.sharded and run.known_end:
        gone = np.isin(np.arange(len(stays)), request)
        touched = holding(schedule, shards, gone if states is None else gone | (states.present & ~stays))
    if not len(touched):
        return Replay(run.params, None if states is None else replace(states, present=stays), 0, 0.0)
    if not problem.sharded and states is None and checkpoints is None:
        params, risks = jax.block_until_ready(replay(run, retained))
        check_finite(risks, params, run.recipe)
        return Replay(like(params, run.start), None, 1, 1.0)
    firsts = np.zeros(len(touched), int)
    if states is not None:
        firsts = states.firsts(schedule, stays)[touched]
        if platform() != "cpu":  # where the shards are trained together
            firsts = np.full(len(touched), firsts.min())
    parts = problem, run.start, schedule.masked(~retained[schedule.indices])
    if problem.sharded:
        parts = only(*parts, touched)
    places = () if states is None else states.places
    earlier = None if states is None else states.of_shards(touched)
    part, risks, passed = staged(parts[0], run.recipe, *parts[1:], places, earlier, firsts, checkpoints=checkpoints)
    check_finite(risks, part, run.recipe)
    params = like(put_back(run.params, part, touched) if problem.sharded else part, run.start)
    after = None if states is None else states.put_back(owned(passed), touched, stays)
    return Replay(owned(params), after, len(touched), float(np.sum(steps - firsts)) / (shards * steps))
