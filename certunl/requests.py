"""Who asks to be forgotten: ids `i32[k]`, sorted and unique, of examples that are present."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.training import Run
from certunl.typing import BadInput, Key

__all__ = ["by_class", "by_owner", "hardest", "parse", "random", "stream"]


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
    if not 0 < size < np.sum(run.present):
        raise BadInput(f"size must lie between 1 and {np.sum(run.present) - 1}, got {size}")
    losses = np.where(run.present, run.problem.scores(run.params, run.problem.data).losses, -np.inf)
    return run.check(np.argsort(-losses, kind="stable")[:size])


def stream(key: Key, run: Run, sizes: Sequence[int]) -> list[np.ndarray]:
    """Requests of the given sizes, drawn uniformly and disjoint: what comes in one after another."""
    drawn = np.asarray(jax.random.permutation(key, jnp.flatnonzero(run.present)))
    if not all(size > 0 for size in sizes) or not sum(sizes) < len(drawn):
        raise BadInput(f"sizes must be positive and leave someone of {len(drawn)} present, got {list(sizes)}")
    ends = np.cumsum(sizes)
    return [np.sort(drawn[end - size : end]).astype(np.int32) for end, size in zip(ends, sizes, strict=True)]


def parse(text: str, key: Key, run: Run) -> np.ndarray:
    """A request from words: random:SIZE, class:LABEL[:SIZE], owner:ID[,ID...], hardest:SIZE or ids:ID[,ID...]."""
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
        case "ids", [_, *_]:
            return run.check(numbers)
    raise BadInput(
        f"a request is random:SIZE, class:LABEL[:SIZE], owner:ID,..., hardest:SIZE or ids:ID,ID,...; got {text!r}"
    )


def _draw(key: Key, run: Run, members: np.ndarray, size: int, what: str) -> np.ndarray:
    if not 0 < size <= len(members):
        raise BadInput(f"cannot draw {size} examples: there are {len(members)} {what}")
    return run.check(jax.random.choice(key, jnp.asarray(members), (size,), replace=False))
