"""Hessian-free online unlearning (Qiao et al., ICLR 2025): one stored vector per unit, deletion is an addition."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from certunl import sensitivity
from certunl.certificate import REPLAY, Update
from certunl.methods._updated import updated
from certunl.statistics import Statistics
from certunl.timing import Stopwatch
from certunl.training import Run
from certunl.typing import BadInput, Diverged, Key, Params, Progress

__all__ = ["HessianFree"]

_CACHE_BYTES = 8 * 2**20
"""Size of the block of statistics carried through the schedule at once on a CPU: it should stay in cache."""
_DEVICE_BYTES = 2 * 2**30


@dataclass(frozen=True, kw_only=True)
class HessianFree:
    """a_u = −d(training)/d(weight of u): with the real step s' = F(s, weights), along the whole schedule

        a' = (dF/ds) a − (dF/dweights) (weights · 1_u),   a_0 = 0;   forgetting U adds sum_{u in U} a_u.

    For plain SGD this is the paper's recursion a' = (I − rate H) a + (rate/|B|) g_u; being the derivative of the step
    that was taken, it is right for clipping, projection, momentum and Adam as well. `units` (default: all examples, or
    all owners where the data have them) are those whose rows `prepare` gathers, `chunk` how many go through the
    schedule together (default: what fits the cache). Forgetting a request without `prepared` computes its one vector.

    There is no theorem for the distance of a general network: `Update.bound` is None.
    Source: Qiao et al. 2025, Algorithm 1 and Theorem 1.  Differs: the factor of a step comes before its injection, as
    in the paper and unlike its code; with `Recipe.radius` the sum is projected only for release.
    """

    units: Any = None
    chunk: int | None = None

    def __post_init__(self) -> None:
        if self.units is not None:
            units = np.unique(np.asarray(self.units))
            if not units.size:
                raise BadInput("units is empty; name at least one, or None for all")
            if not np.issubdtype(units.dtype, np.integer):
                raise BadInput(f"units must be whole numbers, got {self.units!r}")
            object.__setattr__(self, "units", tuple(units.tolist()))
        if self.chunk is not None and not (isinstance(self.chunk, Integral) and self.chunk >= 1):
            raise BadInput(f"chunk must be a whole number of at least 1, got {self.chunk!r}")

    def prepare(self, run: Run, *, progress: Progress | None = None) -> Statistics:
        """The rows of all tracked units, chunk by chunk; each chunk is one program over the whole schedule.

        Raises: BadInput for unknown units; Diverged when the derivative of training left the finite numbers.
        """
        owners = _owners(run)
        known = np.unique(np.asarray(owners))
        units = known if self.units is None else np.asarray(self.units, np.int32)
        if (unknown := np.setdiff1d(units, known)).size:
            raise BadInput(f"there is no unit {unknown[0]} in the data; units run from {known[0]} to {known[-1]}")
        size = min(self.chunk or _chunk_size(run.start), len(units))
        padded = np.full(-(-len(units) // size) * size, -1, np.int32)
        padded[: len(units)] = units
        blocks = []
        for done in range(0, len(padded), size):
            rows = sensitivity.block(run, owners, jnp.asarray(padded[done : done + size]))
            _check_finite(rows)
            blocks.append(rows)
            if progress is not None:
                progress(min(done + size, len(units)), len(units))
        rows = jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[: len(units)], *blocks)
        return Statistics(rows=rows, units=jnp.asarray(units), owners=owners, start=run.start)

    def forget(self, run: Run, prepared: Statistics | None, request: Any, key: Key) -> Update:
        """params + sum of the request's rows; `key` is not used. The sum is left unprojected: requests add up."""
        request = run.check(request)
        with Stopwatch() as watch:
            if prepared is None:
                gone = run.present & ~run.retained(request)
                correction = sensitivity.vector(run, gone)
                _check_finite(correction)
            else:
                if not _same(prepared.start, run.start) or len(prepared.owners) != len(run.problem.data):
                    raise BadInput("these statistics belong to another run; prepare this one")
                correction = prepared.correction(request)
            params = jax.block_until_ready(optax.tree.add(run.params, correction))
        return updated(
            run,
            params,
            watch,
            method="hessian_free",
            reference=REPLAY,
        )


def _same(a: Params, b: Params) -> bool:
    if jax.tree.structure(a) != jax.tree.structure(b):
        return False
    return all(x is y or np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def _owners(run: Run) -> jax.Array:
    data = run.problem.data
    return jnp.arange(len(data), dtype=jnp.int32) if data.owners is None else jnp.asarray(data.owners, jnp.int32)


def _chunk_size(params: Params) -> int:
    row = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    return max(1, min(256, _CACHE_BYTES // row) if jax.default_backend() == "cpu" else _DEVICE_BYTES // row)


def _check_finite(rows: Params) -> None:
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(rows)):
        raise Diverged(
            "the statistics left the finite numbers: the derivative of training grows without bound at this learning "
            "rate, or the optimizer has none where a gradient is 0; lower the learning rate or change the optimizer"
        )
