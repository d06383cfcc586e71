"""Retraining, exactly: along the run's own schedule without the request, or afresh on the retained examples."""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from certunl.base import Key
from certunl.certificates.guarantee import AFRESH, REPLAY, Guarantee
from certunl.certificates.statement import Distance
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.chunks import Keeper, foreign_states
from certunl.training.placing import spread_run
from certunl.training.recipe import Recipe
from certunl.training.replaying import replayed
from certunl.training.run import Run
from certunl.training.sealing import end_of, states_of
from certunl.training.training import train

__all__ = ["Retrain"]


@dataclass(frozen=True, kw_only=True)
class Retrain(Unlearner):
    """The exact result that every method is compared with. It takes as long as training. Its bound of 0 is proved.

    A replay repeats the training of the run from the same start on the same schedule, without the forgotten examples.
    Training afresh draws another start and other batches, for the retained examples alone. It reads neither the
    parameters of the run nor its history, so it is also there for a run of `adopt`. Its model depends on the retained
    examples, the recipe and the key. The reference of its certificate is that same training, at distance 0. The
    distance of any other model from it measures the chance of start and batches as well, not forgetting alone.

    Of a run with shards (`train(..., shards=S)`) it replays only the models whose shards hold some of the request. The
    others stay as they are in the run, if its parameters are known to be those of training or of an earlier replay.
    Otherwise all models are replayed. Of a run with states (`Recipe(slices=R)`, or `train(..., states=K)`) it replays
    the steps after the last state before the first slot of anyone forgotten. The update has the states of the replay,
    and `Run.minus` hands them to the next request. Results are the same to the bit as those of a replay from the start
    by the same stages, on one device and version.

    Args:
        afresh: the recipe of training afresh. Default: a replay, which needs the history of the run.
        checkpoints: `Checkpoints(folder)`, so that the same retraining goes on after a kill, with the same result to
            the bit. Its cost counts the time before. Default: none.
    """

    afresh: Recipe | None = None
    checkpoints: Keeper | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (self.afresh is None or isinstance(self.afresh, Recipe)):
            raise BadInput(f"afresh must be a Recipe(...), or None for a replay, got {self.afresh!r}")

    def resumable(self, checkpoints: Keeper) -> "Retrain":
        return replace(self, checkpoints=checkpoints)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """The model trained again without `request` and all examples forgotten before.

        `key` draws the start and the batches of training afresh; a replay does not use it.
        Raises: BadInput for a replay of a run without a history; Diverged as training does.
        """
        request = run.check(request)
        if self.afresh is not None:
            return self._afresh(run, request, self.afresh, key)
        if not run.history:
            raise BadInput(
                "this run was adopted without the steps of its training, so nothing can be replayed; train afresh with "
                "Retrain(afresh=Recipe(...)), also as the reference of evaluate"
            )
        run, retained = spread_run(run), run.retained(request)
        with Stopwatch() as watch:
            end = replayed(run, request, retained, self.checkpoints)
        cost = self._cost(watch)
        if run.problem.sharded:
            cost |= {"shards": float(end.shards)}
        if run.problem.sharded or end.states is not None:
            cost |= {"share_of_training": end.share}
        update = updated(run, end.params, watch, "retrain", self._exact(REPLAY), request=request, cost=cost)
        if foreign_states(self.checkpoints):
            return update
        after = replace(run, params=end.params, present=retained, states=end.states)
        seal = "" if end.states is None else states_of(after)
        return replace(update, states=end.states, end=end_of(after) if run.problem.sharded else "", seal=seal)

    def _afresh(self, run: Run, request: np.ndarray, recipe: Recipe, key: Key) -> Update:
        """The update of training on the retained examples alone."""
        rows = np.flatnonzero(run.retained(request))
        problem = replace(run.problem, data=run.problem.data.subset(rows))
        with Stopwatch() as watch:
            checkpoints = None if recipe.noise else self.checkpoints  # whose files would hold the secret of the noise
            fresh = jax.block_until_ready(train(problem, recipe, key, checkpoints=checkpoints))
        # of the run it takes the number of examples alone; what is unchecked is that of the new training
        of, exact = replace(fresh, present=run.present), self._exact(AFRESH)
        return updated(of, fresh.params, watch, "retrain", exact, cost=self._cost(watch))

    def _exact(self, reference: str) -> Guarantee:
        """The guarantee of distance 0."""
        says, unchecked = Distance(0.0, exact=True), foreign_states(self.checkpoints)
        return Guarantee(says=says, reference=reference, every_request=True, unchecked=unchecked)

    def _cost(self, watch: Stopwatch) -> dict[str, float]:
        """The seconds, with those before a kill."""
        return {"seconds": watch.seconds + (0.0 if self.checkpoints is None else self.checkpoints.spent)}
