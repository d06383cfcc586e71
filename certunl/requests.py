"""Who asks to be forgotten: ids `i32[k]`, sorted and unique, of examples that are present."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.training import Run
from certunl.typing import BadInput, Key

__all__ = ["by_class", "by_owner", "check", "hardest", "parse", "random"]


def check(run: Run, request: Any) -> np.ndarray:
    """`request` as i32[k], sorted and unique.

    Raises: BadInput for an empty request, ids outside the data or already forgotten, and a request of everything.
    """
    ids = np.atleast_1d(np.asarray(request))
    if ids.size == 0:
        raise BadInput("the request is empty; name at least one example to forget")
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise BadInput(f"a request is a list of example ids (whole numbers), got {ids.dtype}{list(ids.shape)}")
    ids, present = np.unique(ids), np.asarray(run.present)
    if ids[0] < 0 or ids[-1] >= len(present):
        wrong = ids[(ids < 0) | (ids >= len(present))]
        raise BadInput(f"the request names example {wrong[0]}, the data have ids 0 to {len(present) - 1}")
    if not present[ids].all():
        raise BadInput(f"example {ids[~present[ids]][0]} is already forgotten; leave it out of the request")
    if len(ids) == present.sum():
        raise BadInput("the request names every remaining example; there is nothing to retain: delete the model")
    return ids.astype(np.int32)


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
    return check(run, np.flatnonzero(members).astype(np.int32))


def hardest(run: Run, size: int) -> np.ndarray:
    """The `size` present examples of largest loss under the trained model."""
    if not 0 < size < np.sum(run.present):
        raise BadInput(f"size must lie between 1 and {np.sum(run.present) - 1}, got {size}")
    losses = np.where(run.present, run.problem.scores(run.params, run.problem.data).losses, -np.inf)
    return check(run, np.argsort(-losses, kind="stable")[:size])


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
        case "ids", _:
            return check(run, np.asarray(numbers, np.int32))
    raise BadInput(
        f"a request is random:SIZE, class:LABEL[:SIZE], owner:ID,..., hardest:SIZE or ids:ID,ID,...; got {text!r}"
    )


def _draw(key: Key, run: Run, members: np.ndarray, size: int, what: str) -> np.ndarray:
    if not 0 < size <= len(members):
        raise BadInput(f"cannot draw {size} examples: there are {len(members)} {what}")
    return check(run, jax.random.choice(key, jnp.asarray(members), (size,), replace=False))
