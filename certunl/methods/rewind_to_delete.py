"""Rewind-to-delete (Mu and Klabjan, NeurIPS 2025): training from an earlier checkpoint on, without the request."""

from dataclasses import dataclass
from typing import Any

import jax

from certunl.base import Key, Progress
from certunl.bounds import theorems
from certunl.bounds.constants import HessianFreeConstants
from certunl.bounds.theorems.assumed import check_assumed
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, plain_numbers, whole
from certunl.methods._checkpoint import Checkpoint
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.loop import check_finite, follow
from certunl.training.run import Run

__all__ = ["RewindToDelete"]


@dataclass(frozen=True, kw_only=True)
class RewindToDelete(Unlearner):
    """The original training up to its last `steps`, then these steps without the request and all earlier requests.

    The checkpoint is recomputed from start and schedule, or kept by `prepare`. It depends on the forgotten examples, so
    erase it after a request. The bound (`bounds.rewind`) depends on the places of the request and of all earlier
    requests in the batches. It is PROVED for "linear" if the budget fixes the noise. It is useful for convex losses.
    Without convexity it becomes too large within a few steps.

    Args:
        steps: K, the number of last steps that are taken again. All steps are retraining, 0 is doing nothing. Default:
            half of the schedule.
        assumed: constants of the bound, `HessianFreeConstants`, or "linear" for those in closed form, rounding included
            (softmax and least-squares regression). Default, and for any recipe but plain SGD without clip_norm: no
            theorem.

    Source: Mu and Klabjan 2025, algorithm 1.  Differs: mini-batches; the steps follow the schedule of training, so that
    the reference is retraining replayed on it.
    """

    steps: int | None = None
    assumed: HessianFreeConstants | str | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        whole("for half of them", steps=self.steps, least=0)
        check_assumed(self.assumed)

    def prepare(self, run: Run, *, progress: Progress | None = None) -> Checkpoint:
        """The checkpoint of the original training run."""
        return Checkpoint.of(run, self._rewound(run), progress)

    def forget(self, run: Run, prepared: Checkpoint | None, request: Any, key: Key) -> Update:
        """The update after the last steps; `key` is not used. Without `prepared` the checkpoint is recomputed.

        Raises: BadInput for the checkpoint of another run and for an optimizer with state; Diverged as training does.
        """
        request, rewound = run.check(request), self._rewound(run)
        retained = run.retained(request)
        if run.recipe.optimizer != "sgd":
            raise BadInput('a checkpoint holds parameters but no optimizer state: train with optimizer="sgd"')
        with Stopwatch() as watch:
            checkpoint = Checkpoint.of(run, rewound) if prepared is None else prepared.check(run, rewound)
            last = jax.tree.map(lambda a: a[len(a) - rewound :], run.schedule)
            last = last.masked(~retained[last.indices])
            params, risks = jax.block_until_ready(follow(run.problem, run.recipe, checkpoint.params, last))
        check_finite(risks, params, run.recipe)
        guarantee = theorems.rewind(run, request, steps=rewound, assumed=self.assumed)
        return updated(run, params, watch, "rewind_to_delete", guarantee, request=request)

    def _rewound(self, run: Run) -> int:
        """K, the number of steps after the checkpoint."""
        run.need_history("rewinding")
        run.need_one_model("rewinding")
        total = len(run.schedule)
        rewound = total // 2 if self.steps is None else int(self.steps)
        if rewound > total:
            raise BadInput(f"the schedule has {total} steps, so {rewound} cannot be rewound; lower steps, or retrain")
        return rewound
