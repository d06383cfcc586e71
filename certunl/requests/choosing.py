"""Requests to forget, as sorted and unique ids `i32[k]` of present examples: drawn, or chosen by what they are."""

import heapq
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key
from certunl.errors import BadInput, typed_key
from certunl.rows.attribution import loss_changes
from certunl.training.problem import Dataset
from certunl.training.run import Run

__all__ = [
    "by_class",
    "by_owner",
    "hardest",
    "influential",
    "mislabelled",
    "near_duplicates",
    "random",
    "stream",
]

_BLOCK = 2**24
"""Number of distances that are computed at once."""


def random(key: Key, run: Run, size: int) -> np.ndarray:
    """`size` random present examples, drawn uniformly."""
    if not isinstance(run, Run):
        raise BadInput(f"the arguments are a key, a Run and a size, got {type(run).__name__} for the run")
    return _draw(key, run, np.flatnonzero(run.present), size, "present")


def by_class(key: Key, run: Run, label: int, size: int | None = None) -> np.ndarray:
    """`size` random present examples of class `label`, or all if `size` is None.

    Raises: BadInput if no present example is of the class, with the classes that there are.
    """
    labels, present = np.asarray(run.problem.data.y), np.asarray(run.present)
    if labels.ndim != 1:
        raise BadInput(f"a class needs one label per example, but targets have shape {list(labels.shape[1:])}")
    members = np.flatnonzero(present & (labels == label))
    if not len(members):
        raise BadInput(f"no present example is of class {label}; there are {_listed(np.unique(labels[present]))}")
    return _draw(key, run, members, len(members) if size is None else size, f"of class {label}")


def by_owner(run: Run, owners: Any) -> np.ndarray:
    """All present examples of `owners`, the numbers of owners.

    Raises: BadInput if one of them has no present example, with all such owners.
    """
    if run.problem.data.owners is None:
        raise BadInput("the data have no owners; pass Dataset(x, y, owners)")
    numbers = np.atleast_1d(owners)
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
        raise BadInput(f"owners must be whole numbers, as in Dataset.owners, got {owners!r}")
    of_example, present = np.asarray(run.problem.data.owners), np.asarray(run.present)
    if len(absent := np.setdiff1d(numbers, of_example[present])):
        unknown = np.setdiff1d(absent, of_example)
        raise BadInput(
            f"these data have no owner {_listed(unknown)}; nothing was chosen"
            if len(unknown)
            else f"all examples of owner {_listed(absent)} are already forgotten; leave that owner out"
        )
    return run.check(np.flatnonzero(np.isin(of_example, numbers) & present).astype(np.int32))


def hardest(run: Run, size: int) -> np.ndarray:
    """The `size` present examples with the largest loss of the trained model."""
    return _largest(run, lambda: run.problem.scores(run.params, run.problem.data).losses, size)


def mislabelled(key: Key, run: Run, ids: Any, size: int | None = None) -> np.ndarray:
    """`size` random present examples of `ids`, whose labels `datasets.mislabel` replaced, or all if `size` is None."""
    if not np.size(ids):
        raise BadInput("these data have no labels that were replaced on purpose; train with --mislabel SHARE")
    members = np.intersect1d(ids, np.flatnonzero(run.present))
    return _draw(key, run, members, len(members) if size is None else size, "mislabelled")


def influential(run: Run, size: int, data: Dataset | None = None) -> np.ndarray:
    """The `size` present examples whose deletion raises the mean loss on `data` most, to first order.

    `data` defaults to the present training examples. The values come from one query of `attribution.loss_changes`. Each
    example of an owner has the value of its owner.
    """

    def values() -> np.ndarray:
        target = run.problem.data[np.flatnonzero(run.present)] if data is None else data
        changes, owners = np.asarray(loss_changes(run, target)), run.problem.data.owners
        return changes if owners is None else changes[np.unique(owners, return_inverse=True)[1]]

    return _largest(run, values, size)


def near_duplicates(run: Run, size: int) -> np.ndarray:
    """The `size` present examples that are nearest to another present example, their twin, which itself stays.

    Repeatedly remove the example closest to a remaining one; ties go to the lower id. A twin is never removed.
    Distances are Euclidean norms of differences of x, all arrays of a tree side by side. They are computed a few rows
    at a time, in the precision of x.
    """
    present = np.flatnonzero(run.present)
    if not 0 < size <= len(present) // 2:
        raise BadInput(f"size must lie between 1 and {len(present) // 2}, half of the present examples, got {size}")
    leaves = jax.tree.leaves(run.problem.data[present].x)
    x = np.concatenate([np.asarray(leaf).reshape(len(present), -1) for leaf in leaves], axis=1)
    x = x - x.mean(axis=0)  # smaller norms lose fewer digits in the differences of `_nearest`
    stays, is_twin = np.ones(len(x), bool), np.zeros(len(x), bool)
    norms, rows = (x**2).sum(axis=1), max(1, _BLOCK // len(x))
    parts = [np.arange(len(x))[first : first + rows] for first in range(0, len(x), rows)]
    queue = [entry for part in parts for entry in _nearest(x, norms, part, stays)]
    heapq.heapify(queue)
    while stays.sum() > len(x) - size:
        _, i, twin = heapq.heappop(queue)
        if is_twin[i]:
            continue
        if stays[twin]:
            stays[i], is_twin[twin] = False, True
        else:  # the twin was removed meanwhile; the next nearest is no closer, so the entry goes back into the queue
            heapq.heappush(queue, *_nearest(x, norms, np.array([i]), stays))
    return run.check(present[~stays])


def stream(key: Key, run: Run, sizes: Sequence[int]) -> list[np.ndarray]:
    """Disjoint random requests of the given `sizes`, to be served one after another."""
    typed_key(key)
    order = np.asarray(jax.random.permutation(key, jnp.flatnonzero(run.present)))
    if not all(size > 0 for size in sizes) or not sum(sizes) < len(order):
        raise BadInput(f"sizes must be positive and leave an example of the {len(order)} present, got {list(sizes)}")
    ends = np.cumsum(sizes)
    return [np.sort(order[end - size : end]).astype(np.int32) for end, size in zip(ends, sizes, strict=True)]


def _largest(run: Run, values: Callable[[], Any], size: int) -> np.ndarray:
    """The `size` present examples with the largest `values() f[n]`; ties go to the lower id."""
    if not 0 < size < np.sum(run.present):
        raise BadInput(f"size must lie between 1 and {np.sum(run.present) - 1}, got {size}")
    return run.check(np.argsort(-np.where(run.present, values(), -np.inf), kind="stable")[:size])


def _nearest(x: np.ndarray, norms: np.ndarray, rows: np.ndarray, stays: np.ndarray) -> list[tuple[float, int, int]]:
    """(distance, row, nearest other row that stays) for each of `rows`."""
    distances = np.where(stays, norms, np.inf) - 2 * x[rows] @ x.T
    distances[np.arange(len(rows)), rows] = np.inf
    nearest = distances.argmin(axis=1)
    exact = np.linalg.norm(x[rows] - x[nearest], axis=1)  # ‖x‖² − 2⟨x, y⟩ loses digits
    return list(zip(exact.tolist(), rows.tolist(), nearest.tolist(), strict=True))


def _draw(key: Key, run: Run, members: np.ndarray, size: int, kind: str) -> np.ndarray:
    """`size` of `members`, drawn uniformly; `kind` describes them in the error."""
    typed_key(key)
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise BadInput(f"size must be a whole number of examples, got {size!r}")
    if not 0 < size <= len(members):
        raise BadInput(f"cannot draw {size} examples, because there are {len(members)} {kind}; take a smaller size")
    return run.check(jax.random.choice(key, jnp.asarray(members), (size,), replace=False))


def _listed(values: np.ndarray, most: int = 20) -> str:
    return ", ".join(map(str, values[:most].tolist())) + (" ..." if len(values) > most else "")
