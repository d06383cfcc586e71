"""How far rows can be trusted: what the first order leaves out, measured against true retraining."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax

from certunl import requests
from certunl.training import Run, follow
from certunl.typing import BadInput, Key

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
    run: Run, prepared: Any, key: Key, *, size: int, samples: int = 3, tolerance: float = 0.3
) -> Staleness:
    """Retrains without each of `samples` random requests of `size` examples (whole owners where the data have them) and
    takes the largest c = ‖w'_U − w − a_U‖/‖a_U‖². Costs `samples` trainings; a `size` near what will be forgotten
    measures best.

    Raises: BadInput for a tolerance or number of samples of no use, or where rows are missing.
    """
    if not (samples >= 1 and 0 < tolerance < math.inf):
        raise BadInput(f"samples must be at least 1 and tolerance above 0, got {samples} and {tolerance}")
    start, _ = follow(run.problem, run.recipe, run.start, run.schedule.masked(~run.present[run.schedule.indices]))
    found = []
    for one in jax.random.split(key, samples):
        ids = requests.random(one, run, size=size)
        if run.problem.data.owners is not None:
            ids = requests.by_owner(run, np.unique(np.asarray(run.problem.data.owners)[ids]))
        row = prepared.correction(ids)
        gone = ~run.retained(ids)
        truth, _ = follow(run.problem, run.recipe, run.start, run.schedule.masked(gone[run.schedule.indices]))
        error = optax.tree.norm(jax.tree.map(lambda t, s, a: t - s - a, truth, start, row))
        found.append(float(error / optax.tree.norm(row) ** 2))
    return Staleness(coefficient=max(found), tolerance=tolerance, samples=samples, size=size)
