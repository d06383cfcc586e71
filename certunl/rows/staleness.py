"""How far rows can be trusted: what the first order leaves out, measured against true retraining."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax

from certunl.base import Key
from certunl.errors import BadInput
from certunl.training.loop import follow
from certunl.training.run import Run

__all__ = ["Staleness", "measure_staleness"]


@dataclass(frozen=True, kw_only=True)
class Staleness:
    """‖w'_U − (w + a_U)‖ = c ‖a_U‖² to second order in what is forgotten, c measured on `samples` requests of `size`.

    Relative to doing nothing (‖w'_U − w‖, which is ‖a_U‖ to first order) the error is c ‖a_U‖: rows are stale when the
    vectors added since they were gathered have moved the parameters further than `tolerance`/c. An estimate, not a
    bound; where kinks rule (ReLU) the error grows more slowly, and c measured on small requests is too large.
    """

    coefficient: float
    tolerance: float
    samples: int
    size: int

    @property
    def budget(self) -> float:
        """How far ‖a‖ may grow until the expected error is `tolerance` of doing nothing."""
        return self.tolerance / self.coefficient if self.coefficient else math.inf

    def share(self, moved: float) -> float:
        """The expected error at ‖a‖ = `moved`, as a fraction of doing nothing."""
        return self.coefficient * moved


def measure_staleness(
    run: Run, method: Any, prepared: Any, key: Key, *, size: int, samples: int = 3, tolerance: float = 0.3
) -> Staleness:
    """Retrains without each of `samples` random requests of `size` examples (whole owners where the data have them) and
    takes the largest c = ‖w'_U − w − a_U‖/‖a_U‖². Costs `samples` trainings; a `size` near what will be forgotten
    measures best.

    Raises: BadInput for a tolerance or number of samples of no use, or where rows are missing.
    """
    method.check(run, prepared)
    if not (samples >= 1 and 0 < tolerance < math.inf):
        raise BadInput(f"samples must be at least 1 and tolerance above 0, got {samples} and {tolerance}")
    start, _ = follow(run.problem, run.recipe, run.start, run.schedule.masked(~run.present[run.schedule.indices]))
    found = []
    for one in jax.random.split(key, samples):
        ids = _whole_units(one, run, prepared, size)
        row = prepared.correction(ids)
        gone = ~run.retained(ids)
        truth, _ = follow(run.problem, run.recipe, run.start, run.schedule.masked(gone[run.schedule.indices]))
        error = optax.tree.norm(jax.tree.map(lambda t, s, a: t - s - a, truth, start, row))
        if float(optax.tree.norm(row)) > 0:  # else no step saw any of them
            found.append(float(error / optax.tree.norm(row) ** 2))
    if not found or not np.isfinite(found).all():
        raise BadInput("no sampled request had a row other than 0, or its retraining diverged; take a larger size")
    return Staleness(coefficient=max(found), tolerance=tolerance, samples=samples, size=size)


def _whole_units(key: Key, run: Run, prepared: Any, size: int) -> np.ndarray:
    """Examples of random units that have a row, at least `size` where that leaves anyone."""
    units = np.asarray(jax.random.permutation(key, np.asarray(prepared.units)))
    counts = np.cumsum([np.sum(np.asarray(prepared.owners) == unit) for unit in units[:size]])
    chosen = units[: 1 + int(np.searchsorted(counts, size))]
    return run.check(np.flatnonzero(np.isin(np.asarray(prepared.owners), chosen)))
