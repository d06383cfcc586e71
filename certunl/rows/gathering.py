"""Rows of units gathered along the schedule, forward in blocks or backward, on every core or device."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from certunl.base import Params, Progress, nbytes, reporter
from certunl.errors import BadInput
from certunl.rows.store import Store
from certunl.training import sensitivity
from certunl.training.batches import by_batches
from certunl.training.memory import check_memory
from certunl.training.mesh import Device, Worker, check_on_device, fetched, home_of
from certunl.training.placing import across, spread_run
from certunl.training.run import Run
from certunl.training.workers import spread, workers

__all__ = ["answers", "backward", "fill", "forward", "query_block", "tracked"]

_QUERY_BYTES = 2**28
"""Memory that the adjoint passes of the backward order may use at once on a device."""
_CURE = "give units=, keep them on disk (store(run, place)), or forget without rows: one vector for each request"


def tracked(run: Run, named: tuple[int, ...] | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(owners i32[n], units i32[m], whether each unit is whole bool[m]).

    The units are all those of the data, or those in `named`. A unit is not whole if one of its examples was
    forgotten. The row of such a unit is useless.
    """
    data = run.problem.data
    owners = np.arange(len(data)) if data.owners is None else np.asarray(data.owners)
    all_units = np.unique(owners)
    units = all_units if named is None else np.asarray(named)
    if (unknown := np.setdiff1d(units, all_units)).size:
        raise BadInput(f"there is no unit {unknown[0]} in the data; units run from {all_units[0]} to {all_units[-1]}")
    whole = ~np.isin(units, owners[~np.asarray(run.present)])
    if not whole.any():
        raise BadInput("every named unit has an example that is already forgotten; there is no row to gather")
    return owners.astype(np.int32), units.astype(np.int32), whole


def forward(
    run: Run,
    owners: np.ndarray,
    units: np.ndarray,
    size: int,
    *,
    form: str,
    products: str | None = None,
    old: Any = None,
    progress: Progress | None = None,
) -> Params:
    """The rows of `units`, in memory, gathered in blocks of `size`. They start as the rows of `old`, or as zeros."""
    blocks, home, parts = [], home_of(run.params), _parts(workers(run)[0])
    _check_rows(run, len(units), 2 / parts, home)  # the blocks and their concatenation
    for block in _blocks(run, owners, _cut(units, size), form, old, products):
        blocks.append(block)
        if progress is not None:
            reporter(progress)(min(len(blocks) * size, len(units)), len(units))
    rows = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *blocks)
    if old is None:
        sensitivity.warn_of_zeros(run, rows)
    return rows


def fill(
    store: Store,
    run: Run,
    owners: np.ndarray,
    size: int,
    *,
    form: str,
    products: str | None = None,
    old: Any = None,
    progress: Progress | None = None,
    chunks: list[int] | None = None,
) -> None:
    """Writes `chunks` of `store`, by default the missing ones. A chunk is a file of rows, one for each unit.

    The rows of a chunk are computed in blocks of at most `size` rows, which bounds the memory.
    """
    missing = store.missing() if chunks is None else chunks
    parts = [_cut(store.members(number), size) for number in missing]
    # one generator for all chunks, so that devices work on the next chunk while this one is written
    blocks = _blocks(run, owners, [part for chunk in parts for part in chunk], form, old, products)
    for done, (number, chunk) in enumerate(zip(missing, parts, strict=True), start=1):
        rows = [next(blocks) for _ in chunk]
        whole = jax.tree.map(lambda *leaves: np.concatenate(leaves), *rows)
        if done == 1 and old is None:
            sensitivity.warn_of_zeros(run, whole)
        store.write(number, whole)
        if progress is not None:
            reporter(progress)(done, len(missing))


def backward(run: Run, owners: np.ndarray, units: np.ndarray) -> Params:
    """The same rows, one adjoint query e_j per parameter: ⟨e_j, a_u⟩ for every unit vector e_j."""
    flat, unravel = ravel_pytree(run.start)
    all_units, numbers = np.unique(owners, return_inverse=True)
    _check_rows(run, len(all_units), 3, home_of(flat))  # the passes, their concatenation and its transpose
    size, values = query_block(run), []
    for first in range(0, flat.size, size):
        queries = jax.vmap(unravel)(jnp.eye(min(size, flat.size - first), flat.size, first, dtype=flat.dtype))
        values.append(answers(run, jnp.asarray(numbers), queries, len(all_units)))
    rows = jax.vmap(unravel)(jnp.concatenate(values).T[np.searchsorted(all_units, units)])
    sensitivity.check_finite(rows)
    sensitivity.warn_of_zeros(run, rows)
    return rows


def answers(run: Run, numbers: jax.Array, queries: Params, count: int) -> jax.Array:
    """`sensitivity.adjoint`, with the queries spread over the devices, or each batch if there are fewer queries."""
    ask, worker = partial(sensitivity.adjoint, count=count), workers(run)[0]
    many = len(jax.tree.leaves(queries)[0])
    if many < across(worker):
        return by_batches(ask, run, numbers, queries)
    if across(worker) == 1:
        return ask(run, numbers, queries)
    check_on_device(run.problem.data, worker)
    short = -many % len(worker)
    wide = jax.tree.map(lambda q: jnp.pad(q, [(0, short)] + [(0, 0)] * (q.ndim - 1)), queries)
    values = ask(*worker.copied((run, numbers), "queries"), worker.split(wide, "queries"))
    return fetched(values, home_of(run.params))[:many]


def query_block(run: Run) -> int:
    """The number of adjoint queries that go backward together."""
    return len(workers(run)[0]) * max(1, _QUERY_BYTES // (nbytes(run.start) + run.schedule.weights.nbytes))


def _check_rows(run: Run, count: int, copies: float, device: Device) -> None:
    """Raises: BadInput if `copies` of `count` rows do not fit into the free memory of `device`."""
    check_memory(f"rows of {count:,} units, with work space,", copies * count * nbytes(run.start), _CURE, device)


def _parts(worker: Worker) -> int:
    """The number of parts in which each row lies, in memories of their own."""
    return 1 if worker.rule is None or worker.devices[0].platform == "cpu" else len(worker)


def _cut(units: np.ndarray, size: int) -> list[np.ndarray]:
    return [units[i : i + size] for i in range(0, len(units), size)]


def _blocks(
    run: Run, owners: np.ndarray, parts: list[np.ndarray], form: str, old: Any, products: str | None
) -> Iterator[Params]:
    """The rows of each of `parts`. Parts are padded to one length, so that all run the same compiled program."""
    size = max(map(len, parts), default=0)
    team = workers(run)
    shared = across(team[0])
    length = -(-size // shared) * shared
    # a CPU holds the blocks of all workers; an accelerator its parts of two blocks, and the first one whole blocks
    on_cpu = team[0].devices[0].platform == "cpu"
    at_once = length * len(team) if on_cpu or shared == 1 else 2 * (length // shared) + length
    cure = "give a smaller chunk (gather=Forward(chunk=...))" if size > 1 else "the model is too large for rows here"
    needed = 2 * at_once * nbytes(run.start) / _parts(team[0])
    check_memory(f"chunks of {size:,} rows, before and after a step,", needed, cure)
    copies, home = {}, home_of(run.params)

    def work(part: np.ndarray, worker: Worker) -> Params:
        short, rows = length - len(part), None
        units = np.pad(part, (0, short), constant_values=-1)  # no example belongs to unit -1
        if worker not in copies:
            check_on_device(run.problem.data, worker)
            whole = worker.rule is None
            copies[worker] = worker.copied((run, owners), "units") if whole else (spread_run(run), owners)
        if old is not None:
            rows = jax.tree.map(lambda a: jnp.pad(a, [(0, short)] + [(0, 0)] * (a.ndim - 1)), old.read(part))
        if worker.rule is None:
            units, rows = worker.split((units, rows), "units")
        return sensitivity.block(*copies[worker], units, rows, form=form, products=products)[0]

    for part, block in zip(parts, spread(work, parts, team), strict=True):
        rows = fetched(block, home) if team[0].rule is None else block
        sensitivity.check_finite(rows)
        count = len(part)
        yield jax.tree.map(lambda leaf, m=count: leaf[:m], rows)
