"""Rewind-to-delete (Mu and Klabjan, NeurIPS 2025): back to an earlier checkpoint, and on without the request."""

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import jax
import numpy as np

from certunl.bounds._hessian_free_constants import HessianFreeConstants
from certunl.bounds.linear import hessian_free_constants
from certunl.bounds.rewind import rewind_bound
from certunl.certificate import REPLAY, Assumption, Update
from certunl.methods._updated import updated
from certunl.schedule import Schedule
from certunl.timing import Stopwatch
from certunl.training import Run, check_finite, follow
from certunl.typing import BadInput, Key, Params, Progress

__all__ = ["RewindToDelete"]


@dataclass(frozen=True, kw_only=True)
class RewindToDelete:
    """Training as it was up to its last `steps`, and those without the request (and whoever was forgotten before).

    `steps` = K defaults to half of the schedule; all of them are retraining, 0 is doing nothing. The checkpoint is
    recomputed from start and schedule, or kept by `prepare`; it depends on the forgotten, so erase it after a request.
    `assumed` are the constants of `bounds.rewind` (`HessianFreeConstants`, or "linear": in closed form for softmax and
    least-squares regression, rounding included); without them, and for any recipe but plain SGD without clip_norm and
    radius, Update.bound is None. The bound is of the request and those forgotten before, as their places in the
    batches are: PROVED where the budget fixes the noise. It is worth having for convex losses; without convexity a few
    steps outgrow it.
    Source: Mu and Klabjan 2025, algorithm 1.  Differs: mini-batches; training's own schedule is followed, so that the
    reference is retraining replayed on it.
    """

    steps: int | None = None
    assumed: HessianFreeConstants | str | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and not (isinstance(self.steps, Integral) and self.steps >= 0):
            raise BadInput(f"steps must be a whole number of at least 0, or None for half of them, got {self.steps!r}")
        if not (self.assumed is None or self.assumed == "linear" or isinstance(self.assumed, HessianFreeConstants)):
            raise BadInput(f'assumed must be HessianFreeConstants(...), "linear" or None, got {self.assumed!r}')

    def prepare(self, run: Run, *, progress: Progress | None = None) -> Params:
        """The checkpoint of everyone's training."""
        params, risks = jax.block_until_ready(follow(run.problem, run.recipe, run.start, self._split(run)[0]))
        check_finite(risks, params, run.recipe)
        return params

    def forget(self, run: Run, prepared: Params | None, request: Any, key: Key) -> Update:
        """`key` is not used. Raises: BadInput where the recipe's optimizer has a memory; Diverged as training does."""
        retained = run.retained(run.check(request))
        if run.recipe.optimizer != "sgd":
            raise BadInput('a checkpoint holds parameters, not an optimizer\'s memory: train with optimizer="sgd"')
        last = self._split(run)[1]
        with Stopwatch() as watch:
            checkpoint = self.prepare(run) if prepared is None else prepared
            last = last.masked(~retained[last.indices])
            params, risks = jax.block_until_ready(follow(run.problem, run.recipe, checkpoint, last))
        check_finite(risks, params, run.recipe)
        theorem = {} if self.assumed is None else self._theorem(run, ~np.asarray(retained), len(last))
        return updated(run, params, watch, method="rewind_to_delete", reference=REPLAY, **theorem)

    def _split(self, run: Run) -> tuple[Schedule, Schedule]:
        """(the steps before the checkpoint, the steps after it)."""
        total = len(run.schedule)
        kept = total // 2 if self.steps is None else int(self.steps)
        if kept > total:
            raise BadInput(f"the schedule has {total} steps, {kept} cannot be rewound; lower steps, or retrain")
        cut = total - kept
        return jax.tree.map(lambda a: a[:cut], run.schedule), jax.tree.map(lambda a: a[cut:], run.schedule)

    def _theorem(self, run: Run, gone: np.ndarray, rewound: int) -> dict[str, Any]:
        recipe, schedule, weights = run.recipe, run.schedule, np.asarray(run.schedule.weights)
        plain = recipe.clip_norm is None and recipe.radius is None
        if not plain or not np.isin(weights, (0, 1)).all() or (np.asarray(schedule.rates) < 0).any():
            return {}
        known = self.assumed  # proved is only what the code derives here, for this run
        known = replace(known) if isinstance(known, HessianFreeConstants) else hessian_free_constants(run)
        bound, nothing = rewind_bound(
            known,
            rates=schedule.rates,
            sizes=np.sum(weights != 0, axis=1),
            gone=np.sum((weights != 0) & gone[np.asarray(schedule.indices)], axis=1),
            divisors=schedule.divisors,
            weight_decay=recipe.weight_decay,
            denominator=recipe.denominator,
            rewound=rewound,
        )
        if not np.isfinite(bound):
            return {}
        pace = ["smoothness", "convexity"] if known.retained_contraction is None else ["retained_contraction"]
        said = (
            ("beta", known.smoothness, known.status(*pace), "norm of the Hessian of each example's loss, at most"),
            ("G", known.gradient_bound, known.status("gradient_bound"), "norm of each example's gradient, at most"),
            ("rounding", known.rounding, known.status("rounding"), "of one step, in floating point"),
            ("K", rewound, "proved", "steps taken again without the request"),
            ("D_T", nothing, known.status("gradient_bound", *pace), "proved distance of doing nothing, for comparison"),
        )
        told = tuple(Assumption(symbol, float(value), status, meaning) for symbol, value, status, meaning in said)
        return {"bound": bound, "nothing": nothing, "assumptions": told}
