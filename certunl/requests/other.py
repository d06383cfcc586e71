"""Another request of the same kind, on which settings may be chosen."""

from typing import Any

import jax
import numpy as np

from certunl.base import Key
from certunl.errors import BadInput
from certunl.requests.choosing import by_class, by_owner, hardest, influential, mislabelled, near_duplicates, random
from certunl.training.run import Run

__all__ = ["another"]


def another(text: str, key: Key, run: Run, request: np.ndarray, planted: Any = ()) -> np.ndarray:
    """A request of the kind of `text` that has no example of `request`, to choose settings on.

    It has the size of `request` where enough examples are left, and half of the others at most. A class becomes the
    most frequent other one, owners become others drawn at random, and named ids or rows become random examples.
    Raises: BadInput if fewer than two examples are left.
    """
    left = run.minus(request, run.params)
    present = np.flatnonzero(left.present)
    size = min(len(request), len(present) // 2)
    if size < 1:
        raise BadInput("no other request of this kind is left to tune on; tune nothing, or name fewer examples")
    kind = text.partition(":")[0]
    labels, owners = np.asarray(run.problem.data.y), run.problem.data.owners
    match kind:
        case "class":
            others = present[~np.isin(labels[present], labels[request])]
            if len(others):
                classes, counts = np.unique(labels[others], return_counts=True)
                return by_class(key, left, int(classes[counts.argmax()]), min(size, int(counts.max())))
        case "owner" if owners is not None:
            units, gone = np.unique(np.asarray(owners)[present]), len(np.unique(np.asarray(owners)[request]))
            order = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist()).permutation(units)
            return by_owner(left, order[: max(1, min(gone, len(units) // 2))].tolist())
        case "hardest":
            return hardest(left, size)
        case "influential":
            return influential(left, size)
        case "near_duplicates":
            return near_duplicates(left, size)
        case "mislabelled" if others := np.setdiff1d(planted, request).tolist():
            return mislabelled(key, left, others, min(size, len(others)))
    return random(key, left, size)
