"""A record of one's own training loop, as the schedule that replays it."""

from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from certunl.base import Params
from certunl.errors import BadInput, positive, scalar
from certunl.training.arrays import as_array, check_kind
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule
from certunl.training.starting import fitting
from certunl.training.training import fit

__all__ = ["Record", "record"]


def record(rate: Any = 1.0) -> "Record":
    """An empty `Record` for one's own training loop. It takes one call for each step, outside of jit.

        start = state.params                                        # a flax TrainState, or parameters and optax alone
        with cu.record() as log:
            for indices in batches:
                state = step(state, data.x[indices], data.y[indices])
                log.step(indices)
        run = log.run(problem, cu.Recipe(optimizer=state.tx), start, end=state.params)

    The run has the history of the loop, so that every method works with it, and `HessianFree` is exact for it.

    Args:
        rate: the factor of the optimizer's updates, a number or a function of the number of the step. Default: 1, for
            an optax optimizer that holds its own learning rate.
    """
    return Record(rate)


class Record:
    """The steps of a training loop, in order. `record` makes one, and a `with` block ends it."""

    def __init__(self, rate: Any = 1.0):
        if not callable(rate):
            rate = _number(rate, "rate")
        self.rate = rate
        self.difference: float | None = None  # ‖replayed − end‖/‖end − start‖ of the last `run`
        self._rows: list[tuple[np.ndarray, np.ndarray, float, float]] = []
        self._open = True

    def __enter__(self) -> "Record":
        return self

    def __exit__(self, *error: Any) -> None:
        self._open = False

    def __len__(self) -> int:
        return len(self._rows)

    def step(
        self, indices: Any, *, weights: Any = None, rate: float | None = None, divisor: float | None = None
    ) -> None:
        """Notes one step of the loop.

        Args:
            indices: i[b], the ids of the examples in the batch.
            weights: f[b], the weights of their losses, 0 for padding. Default: 1 for each.
            rate: the step size. Default: that of `record`.
            divisor: the number that divides the weighted sum of the losses. Default: the number of weights that are not
                0, as in a mean; a loss that is a sum has the divisor 1.

        Raises: BadInput inside jit, for ids that are no whole numbers, for other shapes, and after the `with` block.
        """
        if not self._open:
            raise BadInput("the record is closed, because its with block has ended; note every step inside the block")
        ids, most = _concrete(indices, "indices"), np.iinfo(np.int32).max
        if ids.ndim != 1 or not len(ids) or not np.issubdtype(ids.dtype, np.integer):
            raise BadInput(f"a step needs its batch as whole numbers of shape [b], got {ids.dtype}{list(ids.shape)}")
        if ids.min() < 0 or ids.max() > most:
            raise BadInput(f"ids must be whole numbers from 0 to {most}, got {ids.min()} to {ids.max()}")
        factors = np.ones(len(ids)) if weights is None else _concrete(weights, "weights").astype(np.float64)
        if factors.shape != ids.shape or not np.isfinite(factors).all():
            raise BadInput(f"weights must be {len(ids)} finite numbers, one for each id, got {list(factors.shape)}")
        size = rate if rate is not None else self.rate(len(self)) if callable(self.rate) else self.rate
        if divisor is not None:
            positive(divisor=_number(divisor, "divisor"))
        shared = np.count_nonzero(factors) if divisor is None else divisor
        self._rows.append((ids.astype(np.int32), factors, _number(size, "rate"), float(shared)))

    def schedule(self) -> Schedule:
        """The steps so far, as the schedule that replays them. Shorter batches are padded with weight 0.

        Raises: BadInput if no step was noted.
        """
        if not self._rows:
            raise BadInput("no step was recorded; call log.step(indices) once for each step of the loop")
        width = max(len(ids) for ids, *_ in self._rows)
        indices, weights = np.zeros((len(self), width), np.int32), np.zeros((len(self), width))
        for t, (ids, factors, *_) in enumerate(self._rows):
            indices[t, : len(ids)], weights[t, : len(ids)] = ids, factors
        rates, divisors = (np.array([row[i] for row in self._rows]) for i in (2, 3))
        return Schedule(*(jnp.asarray(array) for array in (indices, weights, rates, divisors)))

    def run(
        self, problem: Problem, recipe: Recipe, start: Params, *, end: Params, tolerance: float = 1e-3, origin: str = ""
    ) -> Run:
        """The run that replays the loop, after a comparison with the loop's own end.

        Args:
            problem: the losses and the data, in the order of the recorded ids.
            recipe: the settings of a step: `Recipe(optimizer=your optax optimizer)`, and weight_decay, clip_norm and
                radius if the loop has them outside of the optimizer.
            start: the parameters before the first step.
            end: the parameters after the last step, by the loop itself.
            tolerance: largest ‖replayed − end‖/‖end − start‖ that passes.
            origin: where start and batches come from, in words, as in `fit`.

        Raises: BadInput if the replay ends elsewhere, with the difference and its usual causes; the errors of `fit`.
        """
        positive(tolerance=tolerance)
        start, end = fitting(start, problem), fitting(end, problem)
        words = f"{origin.strip() or 'those of a recorded loop'}, replayed"
        run = fit(problem, recipe, start, self.schedule(), origin=words)
        moved = float(optax.tree.norm(optax.tree.sub(end, start)))
        off = float(optax.tree.norm(optax.tree.sub(run.params, end)))
        self.difference = off / moved if moved else float("inf") if off else 0.0
        if not self.difference <= tolerance:
            raise BadInput(
                f"the replay ends {self.difference:.2g} of the way of training from the loop's own end, more than the "
                f"tolerance {tolerance:g}; usual causes are data in another order, losses that are summed and not "
                "averaged (divisor=1), weight decay or clipping that the recipe lacks, another rate, or dropout"
            )
        return run


def _concrete(value: Any, name: str) -> np.ndarray:
    """`value` on the host. Raises: BadInput for a traced array."""
    if isinstance(value, Tracer):
        raise BadInput(
            f"{name} is traced by jit, so its numbers are not known yet; call log.step outside of the compiled step"
        )
    array = as_array(value, name)
    check_kind(array, name)
    return array


def _number(value: Any, name: str) -> float:
    """A finite number. Raises: BadInput for anything else, and for a traced one."""
    value = scalar(_concrete(value, name) if isinstance(value, jax.Array) else value)
    if isinstance(value, bool) or not isinstance(value, Real) or not np.isfinite(float(value)):
        raise BadInput(f"{name} must be a finite number, got {value!r}")
    return float(value)
