"""Rewind-to-delete (Mu and Klabjan, NeurIPS 2025): back to an earlier checkpoint, and on without the request."""

from dataclasses import dataclass
from typing import Any

import jax

from certunl.base import Key, Progress
from certunl.bounds import theorems
from certunl.bounds.constants import HessianFreeConstants
from certunl.bounds.theorems.assumed import check_assumed
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, whole
from certunl.methods._checkpoint import Checkpoint
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.loop import check_finite, follow
from certunl.training.run import Run

__all__ = ["RewindToDelete"]


@dataclass(frozen=True, kw_only=True)
class RewindToDelete(Unlearner):
    """Training as it was up to its last `steps`, and those without the request (and whoever was forgotten before).

    `steps` = K defaults to half of the schedule; all of them are retraining, 0 is doing nothing. The checkpoint is
    recomputed from start and schedule, or kept by `prepare`; it depends on the forgotten, so erase it after a request.
    `assumed` are the constants of `bounds.rewind` (`HessianFreeConstants`, or "linear": in closed form for softmax and
    least-squares regression, rounding included); without them, and for any recipe but plain SGD without clip_norm,
    there is no theorem. The bound is of the request and those forgotten before, as their places in the
    batches are: PROVED where the budget fixes the noise. It is worth having for convex losses; without convexity a few
    steps outgrow it.
    Source: Mu and Klabjan 2025, algorithm 1.  Differs: mini-batches; training's own schedule is followed, so that the
    reference is retraining replayed on it.
    """

    steps: int | None = None
    assumed: HessianFreeConstants | str | None = None

    def __post_init__(self) -> None:
        whole("for half of them", steps=self.steps, least=0)
        check_assumed(self.assumed)

    def prepare(self, run: Run, *, progress: Progress | None = None) -> Checkpoint:
        """The checkpoint of everyone's training."""
        return Checkpoint.of(run, self._rewound(run), progress)

    def forget(self, run: Run, prepared: Checkpoint | None, request: Any, key: Key) -> Update:
        """`key` is not used. Raises: BadInput for another run's checkpoint, and where the recipe's optimizer has a
        memory; Diverged as training does."""
        request, rewound = run.check(request), self._rewound(run)
        retained = run.retained(request)
        if run.recipe.optimizer != "sgd":
            raise BadInput('a checkpoint holds parameters, not an optimizer\'s memory: train with optimizer="sgd"')
        with Stopwatch() as watch:
            checkpoint = Checkpoint.of(run, rewound) if prepared is None else prepared.check(run, rewound)
            last = jax.tree.map(lambda a: a[len(a) - rewound :], run.schedule)
            last = last.masked(~retained[last.indices])
            params, risks = jax.block_until_ready(follow(run.problem, run.recipe, checkpoint.params, last))
        check_finite(risks, params, run.recipe)
        guarantee = theorems.rewind(run, request, steps=rewound, assumed=self.assumed)
        return updated(run, params, watch, "rewind_to_delete", guarantee)

    def _rewound(self, run: Run) -> int:
        """K, the steps after the checkpoint."""
        total = len(run.schedule)
        rewound = total // 2 if self.steps is None else int(self.steps)
        if rewound > total:
            raise BadInput(f"the schedule has {total} steps, {rewound} cannot be rewound; lower steps, or retrain")
        return rewound
