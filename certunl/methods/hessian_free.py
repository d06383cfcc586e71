"""Hessian-free online unlearning (Qiao et al., ICLR 2025): one stored vector per unit, deletion is an addition."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from certunl import sensitivity
from certunl.certificate import REPLAY, Update
from certunl.chunks import Device, chunk_size, devices, spread
from certunl.fingerprint import fingerprint
from certunl.methods._updated import updated
from certunl.statistics import Statistics, origin
from certunl.store import Place, Store
from certunl.timing import Stopwatch
from certunl.training import Run
from certunl.typing import BadInput, Diverged, Key, Params, Progress

__all__ = ["HessianFree"]

_QUERY_BYTES = 2**28
"""What the adjoint passes of the backward order may hold at once."""


@dataclass(frozen=True, kw_only=True)
class HessianFree:
    """a_u = −d(training)/d(presence of u): with the real step s' = F(s, presence), along the whole schedule

        a' = (dF/ds) a − (dF/dpresence) 1_u,   a_0 = 0;   forgetting U adds sum_{u in U} a_u.

    For plain SGD this is the paper's recursion a' = (I − rate H) a + (rate/|B|) g_u; being the derivative of the step
    that was taken, it is right for clipping, projection, momentum and Adam as well. `units` (default: all examples, or
    all owners where the data have them) are those whose rows `prepare` gathers, `chunk` how many go through the
    schedule together (default: what fits the cache). Forgetting a request without `prepared` computes its one vector.

    `form` is "first_order" (the above) or "retained", which takes the step without u instead of F's derivatives,
    a' = (dF_u/ds) a + F_u(s) − F(s): a row then leaves u's own curvature out and is exact for one deletion on
    quadratics, at any number of epochs; without `prepared` the whole request's curvature is left out (exact in who is
    present, first order in the change of the state), at twice the cost. Rows add up in either form; single vectors only
    in the first.

    `order` is "forward" (chunks of rows along the schedule) or "backward" (one row of the transition matrix per
    parameter, cheaper where there are fewer parameters than units; first order only); both give the same rows.

    There is no theorem for the distance of a general network: `Update.bound` is None.
    Source: Qiao et al. 2025, Algorithm 1 and Theorem 1.  Differs: the factor of a step comes before its injection, as
    in the paper and unlike its code; with `Recipe.radius` the sum is projected only for release.
    """

    units: Any = None
    chunk: int | None = None
    form: str = "first_order"
    order: str = "forward"

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
        if self.form not in sensitivity.FORMS:
            raise BadInput(f"form must be one of {', '.join(sensitivity.FORMS)}, got {self.form!r}")
        if self.order not in ("forward", "backward"):
            raise BadInput(f'order must be "forward" or "backward", got {self.order!r}')
        if self.order == "backward" and self.form != "first_order":
            raise BadInput('only rows of form "first_order" can be gathered backward; leave order at "forward"')

    def prepare(self, run: Run, *, progress: Progress | None = None) -> Statistics:
        """The rows of all tracked units, chunk by chunk; each chunk is one program over the whole schedule.

        Raises: BadInput for unknown units; Diverged when the derivative of training left the finite numbers.
        """
        owners, units = self._tracked(run)
        if self.order == "backward":
            rows = _backward(run, owners, units)
            _check_finite(rows)
        else:
            size, blocks = self._size(run, units), []
            for block in self._blocks(run, owners, _cut(units, size)):
                blocks.append(block)
                if progress is not None:
                    progress(min(len(blocks) * size, len(units)), len(units))
            rows = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *blocks)
        return Statistics(rows=rows, units=jnp.asarray(units), owners=jnp.asarray(owners), origin=origin(run))

    def store(self, run: Run, place: Place, *, dtype: str | None = None, progress: Progress | None = None) -> Store:
        """The same rows on disk: in `place` (a folder, or a URL such as gs://bucket/rows), as `dtype` (default: the
        parameters'), written as they are made, so that memory holds a chunk for each core or device. A store that was
        begun earlier is gone on with: killed at any moment, it has lost at most one chunk of finished rows.

        Raises: as `prepare`; BadInput where `place` holds other rows.
        """
        if self.order == "backward":
            raise BadInput('a store is filled forward, chunk by chunk; leave order at "forward"')
        owners, units = self._tracked(run)
        size = self._size(run, units)
        facts = {"fingerprint": fingerprint(run), "dtype": dtype, "form": self.form}
        store = Store.create(place, run.start, units, owners, chunk=size * len(devices()), **facts)
        with contextlib.closing(store):
            self._fill(store, run, owners, size, progress)
        store.origin = origin(run)
        return store

    def open(self, run: Run, place: Place) -> Store:
        """The store of `run` in `place`, as far as it was filled. Raises: BadInput where it holds other rows."""
        store = Store.open(place, run.start, fingerprint(run), self.form)
        store.origin = origin(run)
        return store

    def forget(self, run: Run, prepared: Statistics | Store | None, request: Any, key: Key) -> Update:
        """params + sum of the request's rows; `key` is not used. The sum is left unprojected: requests add up."""
        request = run.check(request)
        with Stopwatch() as watch:
            if prepared is None:
                correction = sensitivity.vector(run, run.present & ~run.retained(request), self.form)
                _check_finite(correction)
            else:
                if not _same(prepared.origin, origin(run)):
                    raise BadInput("these statistics belong to another run; prepare this one")
                correction = prepared.correction(request)
            params = jax.block_until_ready(_added(run.params, correction))
        return updated(run, params, watch, method="hessian_free", reference=REPLAY)

    def _tracked(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """(owners i32[n], the units to track i32[m]): all that have an example left, unless they were named."""
        data = run.problem.data
        owners = np.arange(len(data)) if data.owners is None else np.asarray(data.owners)
        known = np.unique(owners[np.asarray(run.present)])
        units = known if self.units is None else np.asarray(self.units)
        if (unknown := np.setdiff1d(units, known)).size:
            raise BadInput(f"there is no unit {unknown[0]} in the data; units run from {known[0]} to {known[-1]}")
        return owners.astype(np.int32), units.astype(np.int32)

    def _size(self, run: Run, units: np.ndarray) -> int:
        return min(self.chunk or chunk_size(run, len(units)), len(units))

    def _fill(
        self, store: Store, run: Run, owners: np.ndarray, size: int, progress: Progress | None, old: Any = None
    ) -> None:
        """Writes the chunks that are missing, each from one or several blocks of `size` units."""
        total = len(store.missing())
        parts = [(number, part) for number in store.missing() for part in _cut(store.members(number), size)]
        blocks, held = self._blocks(run, owners, [part for _, part in parts], old), []
        for place, (number, _) in enumerate(parts):
            held.append(next(blocks))
            if place + 1 == len(parts) or parts[place + 1][0] != number:
                store.write(number, jax.tree.map(lambda *leaves: np.concatenate(leaves), *held))
                held = []
                if progress is not None:
                    progress(total - len(store.missing()), total)

    def _blocks(self, run: Run, owners: np.ndarray, parts: list[np.ndarray], old: Any = None) -> Iterator[Params]:
        """The rows of each of `parts`, padded to one length while they are worked on; they begin as those of `old`."""
        size = max(map(len, parts), default=0)
        copies = {}

        def work(part: np.ndarray, device: Device) -> Params:
            if device not in copies:
                copies[device] = (run, owners) if device == jax.devices()[0] else jax.device_put((run, owners), device)
            short = size - len(part)
            units = jax.device_put(np.pad(part, (0, short), constant_values=-1), device)
            rows = None
            if old is not None:
                rows = jax.tree.map(lambda a: jnp.pad(a, [(0, short)] + [(0, 0)] * (a.ndim - 1)), old.read(part))
            return sensitivity.block(*copies[device], units, jax.device_put(rows, device), form=self.form)

        for part, rows in zip(parts, spread(work, parts), strict=True):
            _check_finite(rows)
            kept = len(part)
            yield jax.tree.map(lambda leaf, m=kept: leaf[:m], rows)


def _cut(units: np.ndarray, size: int) -> list[np.ndarray]:
    return [units[i : i + size] for i in range(0, len(units), size)]


def _backward(run: Run, owners: np.ndarray, units: np.ndarray) -> Params:
    """The same rows from one adjoint pass per parameter: ⟨e_j, a_u⟩ for every unit vector e_j."""
    flat, unravel = ravel_pytree(run.start)
    known, numbers = np.unique(owners, return_inverse=True)
    size = max(1, _QUERY_BYTES // (flat.itemsize * (flat.size + run.schedule.indices.size)))
    values = []
    for first in range(0, flat.size, size):
        queries = jax.vmap(unravel)(jnp.eye(min(size, flat.size - first), flat.size, first, dtype=flat.dtype))
        values.append(sensitivity.adjoint(run, jnp.asarray(numbers), queries, len(known)))
    return jax.vmap(unravel)(jnp.concatenate(values).T[np.searchsorted(known, units)])


@jax.jit
def _added(params: Params, correction: Params) -> Params:
    return jax.tree.map(lambda p, a: p + a.astype(p.dtype), params, correction)


def _same(a: Any, b: Any) -> bool:
    if jax.tree.structure(a) != jax.tree.structure(b):
        return False
    return all(x is y or np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def _check_finite(rows: Params) -> None:
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(rows)):
        raise Diverged(
            "the statistics left the finite numbers: the derivative of training grows without bound at this learning "
            "rate, or the optimizer has none where a gradient is 0; lower the learning rate or change the optimizer"
        )
