"""Who asks to be forgotten: ids `i32[k]`, sorted and unique, of examples that are present."""

import heapq
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key
from certunl.errors import BadInput
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
    "parse",
    "random",
    "stream",
]

_BLOCK = 2**24
"""Distances computed at once."""


def random(key: Key, run: Run, size: int) -> np.ndarray:
    """`size` examples drawn uniformly from those present."""
    return _draw(key, run, np.flatnonzero(run.present), size, "present")


def by_class(key: Key, run: Run, label: int, size: int | None = None) -> np.ndarray:
    """`size` examples (default: all) of class `label`."""
    members = np.flatnonzero(np.asarray(run.present) & (np.asarray(run.problem.data.y) == label))
    return _draw(key, run, members, len(members) if size is None else size, f"of class {label}")


def by_owner(run: Run, owners: Any) -> np.ndarray:
    """Every present example that belongs to one of `owners`."""
    if run.problem.data.owners is None:
        raise BadInput("the data name no owners: pass Dataset(x, y, owners)")
    members = np.isin(np.asarray(run.problem.data.owners), np.atleast_1d(owners)) & np.asarray(run.present)
    return run.check(np.flatnonzero(members).astype(np.int32))


def hardest(run: Run, size: int) -> np.ndarray:
    """The `size` present examples of largest loss under the trained model."""
    return _largest(run, lambda: run.problem.scores(run.params, run.problem.data).losses, size)


def mislabelled(key: Key, run: Run, ids: Any, size: int | None = None) -> np.ndarray:
    """`size` (default: all) of the present among `ids`, whose labels `datasets.mislabel` replaced."""
    if not np.size(ids):
        raise BadInput("no labels of these data were replaced on purpose: train with --mislabel SHARE")
    members = np.intersect1d(ids, np.flatnonzero(run.present))
    return _draw(key, run, members, len(members) if size is None else size, "mislabelled")


def influential(run: Run, size: int, data: Dataset | None = None) -> np.ndarray:
    """The `size` present examples whose deletion most raises the mean loss on `data` (default: the present training
    examples), to first order: one query of `attribution.loss_changes`. An owner's value counts for each of theirs."""

    def values() -> np.ndarray:
        asked = run.problem.data[np.flatnonzero(run.present)] if data is None else data
        changes, owners = np.asarray(loss_changes(run, asked)), run.problem.data.owners
        return changes if owners is None else changes[np.unique(owners, return_inverse=True)[1]]

    return _largest(run, values, size)


def near_duplicates(run: Run, size: int) -> np.ndarray:
    """The `size` present examples nearest, in the Euclidean norm of x, to another present one that itself stays: a twin
    stays behind. Greedily: of those who are no one's twin, the nearest to someone who stays goes, the first of a pair
    before the second. Distances are computed a few rows at a time, in the precision of x."""
    present = np.flatnonzero(run.present)
    if not 0 < size <= len(present) // 2:
        raise BadInput(f"size must lie between 1 and {len(present) // 2}, half of those present; got {size}")
    x = np.asarray(run.problem.data.x)[present].reshape(len(present), -1)
    x = x - x.mean(axis=0)
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
        else:
            heapq.heappush(queue, *_nearest(x, norms, np.array([i]), stays))
    return run.check(present[~stays])


def stream(key: Key, run: Run, sizes: Sequence[int]) -> list[np.ndarray]:
    """Requests of the given sizes, drawn uniformly and disjoint: what comes in one after another."""
    drawn = np.asarray(jax.random.permutation(key, jnp.flatnonzero(run.present)))
    if not all(size > 0 for size in sizes) or not sum(sizes) < len(drawn):
        raise BadInput(f"sizes must be positive and leave someone of {len(drawn)} present, got {list(sizes)}")
    ends = np.cumsum(sizes)
    return [np.sort(drawn[end - size : end]).astype(np.int32) for end, size in zip(ends, sizes, strict=True)]


def parse(text: str, key: Key, run: Run, planted: Any = ()) -> np.ndarray:
    """A request from words: random:SIZE, class:LABEL[:SIZE], owner:ID[,ID...], hardest:SIZE, influential:SIZE,
    near_duplicates:SIZE, mislabelled[:SIZE] (of the ids `planted`) or ids:ID[,ID...]."""
    kind, _, rest = text.partition(":")
    try:
        numbers = [int(word) for word in rest.replace(":", ",").split(",") if word]
    except ValueError:
        numbers = []
    match kind, numbers:
        case "random", [size]:
            return random(key, run, size)
        case "class", [label, *size] if len(size) <= 1:
            return by_class(key, run, label, *size)
        case "owner", [_, *_]:
            return by_owner(run, numbers)
        case "hardest", [size]:
            return hardest(run, size)
        case "influential", [size]:
            return influential(run, size)
        case "near_duplicates", [size]:
            return near_duplicates(run, size)
        case "mislabelled", [*size] if len(size) == bool(rest):
            return mislabelled(key, run, planted, *size)
        case "ids", [_, *_]:
            return run.check(numbers)
    raise BadInput(
        "a request is random:SIZE, class:LABEL[:SIZE], owner:ID,..., hardest:SIZE, influential:SIZE, "
        f"near_duplicates:SIZE, mislabelled[:SIZE] or ids:ID,ID,...; got {text!r}"
    )


def _largest(run: Run, values: Callable[[], Any], size: int) -> np.ndarray:
    """The `size` present examples of largest `values() f[n]`, the first among equals."""
    if not 0 < size < np.sum(run.present):
        raise BadInput(f"size must lie between 1 and {np.sum(run.present) - 1}, got {size}")
    return run.check(np.argsort(-np.where(run.present, values(), -np.inf), kind="stable")[:size])


def _nearest(x: np.ndarray, norms: np.ndarray, rows: np.ndarray, stays: np.ndarray) -> list[tuple[float, int, int]]:
    """(distance, row, its nearest other row that stays) for each of `rows`."""
    distances = np.where(stays, norms, np.inf) - 2 * x[rows] @ x.T
    distances[np.arange(len(rows)), rows] = np.inf
    nearest = distances.argmin(axis=1)
    exact = np.linalg.norm(x[rows] - x[nearest], axis=1)  # not through a difference of large numbers
    return list(zip(exact.tolist(), rows.tolist(), nearest.tolist(), strict=True))


def _draw(key: Key, run: Run, members: np.ndarray, size: int, what: str) -> np.ndarray:
    if not 0 < size <= len(members):
        raise BadInput(f"cannot draw {size} examples: there are {len(members)} {what}")
    return run.check(jax.random.choice(key, jnp.asarray(members), (size,), replace=False))
