"""The error of rows after earlier deletions, measured against true retraining."""

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
    """The error model ‖w'_U − (w + a_U)‖ = c ‖a_U‖² of an update by rows, to second order in the forgotten set U.

    The error of doing nothing is ‖w'_U − w‖, which is ‖a_U‖ to first order. Relative to it the error of the rows is c
    ‖a_U‖. So rows are stale once the vectors added since they were gathered have moved the parameters further than
    `tolerance`/c. This is an estimate, not a bound. For models with kinks (ReLU) the error can grow more slowly, and
    c measured on small requests is then too large.

    Args:
        coefficient: c, the largest over the sampled requests.
        tolerance: accepted error as a fraction of doing nothing. A higher value lets rows be used for longer.
        samples: number of requests on which c was measured.
        size: number of examples in each of them; with owners, at least so many.
    """

    coefficient: float
    tolerance: float
    samples: int
    size: int

    @property
    def budget(self) -> float:
        """The norm ‖a‖ at which the expected error is `tolerance` of doing nothing."""
        return self.tolerance / self.coefficient if self.coefficient else math.inf

    def share(self, moved: float) -> float:
        """The expected error at ‖a‖ = `moved`, as a fraction of doing nothing."""
        return self.coefficient * moved


def measure_staleness(
    run: Run, method: Any, prepared: Any, key: Key, *, size: int, samples: int = 3, tolerance: float = 0.3
) -> Staleness:
    """The `Staleness` of `prepared` rows, from retraining without each of several random requests.

    c is the largest ‖w'_U − w − a_U‖/‖a_U‖² over the requests. If the data have owners, a request consists of whole
    owners. The cost is `samples` + 1 training runs.

    Args:
        run: the training run.
        method: the method that prepared the rows.
        prepared: the rows.
        key: random key for the requests.
        size: number of examples in a request; with owners, at least so many. A size near that of the real requests
            measures best.
        samples: number of requests.
        tolerance: accepted error as a fraction of doing nothing; it is copied to the result.

    Raises: BadInput for a tolerance or number of samples that is not positive, for rows of another run, and if no
    sampled request gives a finite c.
    """
    run.need_history("the staleness of rows")
    run.need_one_model("the staleness of rows")
    method.check(run, prepared)
    if not (samples >= 1 and 0 < tolerance < math.inf):
        raise BadInput(f"samples must be at least 1 and tolerance above 0, got {samples} and {tolerance}")
    start, _ = follow(run.problem, run.recipe, run.start, run.schedule.masked(~run.present[run.schedule.indices]))
    coefficients = []
    for one in jax.random.split(key, samples):
        ids = _whole_units(one, run, prepared, size)
        row = prepared.correction(ids)
        gone = ~run.retained(ids)
        truth, _ = follow(run.problem, run.recipe, run.start, run.schedule.masked(gone[run.schedule.indices]))
        error = optax.tree.norm(jax.tree.map(lambda t, s, a: t - s - a, truth, start, row))
        if float(optax.tree.norm(row)) > 0:  # otherwise no step used any of these examples
            coefficients.append(float(error / optax.tree.norm(row) ** 2))
    if not coefficients or not np.isfinite(coefficients).all():
        raise BadInput("every sampled request had a row of 0, or a retraining diverged; choose a larger size")
    return Staleness(coefficient=max(coefficients), tolerance=tolerance, samples=samples, size=size)


def _whole_units(key: Key, run: Run, prepared: Any, size: int) -> np.ndarray:
    """Examples of random units that have a row, at least `size` of them, or all.

    Raises: BadInput if no other example would be left.
    """
    units = np.asarray(jax.random.permutation(key, np.asarray(prepared.units)))
    counts = np.cumsum([np.sum(np.asarray(prepared.owners) == unit) for unit in units[:size]])
    chosen = units[: 1 + int(np.searchsorted(counts, size))]
    return run.check(np.flatnonzero(np.isin(np.asarray(prepared.owners), chosen)))
