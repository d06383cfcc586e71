"""Hessian-free online unlearning (Qiao et al., ICLR 2025): one stored vector per unit, deletion is an addition."""

from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from certunl.certificate import REPLAY, Update
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training import Run, step
from certunl.typing import BadInput, Diverged, Key, Params, Progress

__all__ = ["HessianFree"]

_CACHE_BYTES = 8 * 2**20
"""Size of the block of statistics carried through the schedule at once on a CPU: it should stay in cache."""
_DEVICE_BYTES = 2 * 2**30


@struct.dataclass
class Statistics:
    """One row per unit: `rows` is a pytree like params with a leading axis m; `units i32[m]`, sorted, names the unit
    of each row, `owners i32[n]` the unit of each example (itself, where the data name no owners); `start` are the
    parameters that the training they belong to started from."""

    rows: Params
    units: jax.Array
    owners: jax.Array
    start: Params

    def covers(self, request: Any) -> bool:
        """Whether every unit of `request` has a row."""
        return bool(np.isin(np.asarray(self.owners)[np.asarray(request)], self.units).all())

    def correction(self, request: Any) -> Params:
        """The sum of the rows of `request`: what forgetting it adds to the parameters; a pytree like params.

        Raises: BadInput where a unit has no row, or the request names only a part of an owner.
        """
        owners, units = np.asarray(self.owners), np.asarray(self.units)
        ids = np.unique(np.asarray(request, np.int64))
        if not ids.size or ids[0] < 0 or ids[-1] >= len(owners):
            raise BadInput(f"a request names examples 0 to {len(owners) - 1}, got {np.asarray(request).tolist()}")
        asked = np.unique(owners[ids])
        rows = np.minimum(np.searchsorted(units, asked), len(units) - 1)
        if (missing := asked[units[rows] != asked]).size:
            raise BadInput(f"no statistics were prepared for unit {missing[0]}; prepare it, or pass prepared=None")
        members = np.flatnonzero(np.isin(owners, asked))
        if len(members) != len(ids):
            left = np.setdiff1d(members, ids)[0]
            raise BadInput(
                f"statistics are kept per owner: the request names a part of owner {owners[left]} but not its example "
                f"{left}; name all of the owner, or pass prepared=None"
            )
        return _sum_rows(self.rows, jnp.asarray(rows))


@jax.jit
def _sum_rows(rows: Params, indices: jax.Array) -> Params:
    return jax.tree.map(lambda leaf: jnp.sum(leaf[indices], axis=0), rows)


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
            rows = _rows(run, owners, jnp.asarray(padded[done : done + size]))
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
                correction = _vector(run, gone)
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


def _tangents(run: Run, slot: Any, state: Any) -> tuple[Any, Any]:
    """One step and its derivative: (state', linear map (d state, d presence) -> d state').

    The optimizer's integer state (step counts) has no tangent, so derivatives run over the list of float leaves.
    """
    leaves, structure = jax.tree.flatten(state)
    inexact = [jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves]

    def forward(floats: list[jax.Array], presence: jax.Array) -> tuple[list[jax.Array], list[jax.Array]]:
        given = iter(floats)
        merged = [next(given) if is_float else leaf for leaf, is_float in zip(leaves, inexact, strict=True)]
        after = jax.tree.leaves(step(run.problem, run.recipe, jax.tree.unflatten(structure, merged), slot, presence)[0])
        return [a for a, f in zip(after, inexact, strict=True) if f], after

    floats = [leaf for leaf, is_float in zip(leaves, inexact, strict=True) if is_float]
    _, linear, after = jax.linearize(forward, floats, jnp.ones_like(slot.weights), has_aux=True)
    return jax.tree.unflatten(structure, after), linear


@jax.jit
def _rows(run: Run, owners: jax.Array, units: jax.Array) -> Params:
    """Rows of `units i32[c]` (−1: a row of zeros), a pytree like params with leading axis c."""
    state = run.recipe.begin(run.start)
    floats = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    block = [jnp.zeros((units.size, *leaf.shape), leaf.dtype) for leaf in floats]

    def body(carry: Any, slot: Any) -> tuple[Any, None]:
        state, block = carry
        state, linear = _tangents(run, slot, state)
        removed = -(units[:, None] == owners[slot.indices]).astype(slot.weights.dtype)
        return (state, jax.vmap(linear)(block, removed)), None

    (state, block), _ = jax.lax.scan(body, (state, block), run.schedule)
    params = jax.tree.structure(run.start)
    return jax.tree.unflatten(params, block[: params.num_leaves])


@partial(jax.jit)
def _vector(run: Run, gone: jax.Array) -> Params:
    """The sum of the rows of the examples `gone bool[n]`, as one vector along the schedule."""
    everyone = jnp.where(gone, 0, 1).astype(jnp.int32)
    return jax.tree.map(lambda leaf: leaf[0], _rows(run, everyone, jnp.zeros(1, jnp.int32)))
