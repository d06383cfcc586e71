"""Wrong labels on purpose, as examples that a model should be able to forget."""

from dataclasses import replace
from numbers import Real

import jax
import numpy as np

from certunl.base import Key
from certunl.errors import BadInput, typed_key
from certunl.training.problem import Dataset
from certunl.training.supervised import wrong_labels

__all__ = ["mislabel"]


def mislabel(key: Key, data: Dataset, share: float, classes: int | None = None) -> tuple[Dataset, np.ndarray]:
    """(`data` with wrong labels for round(share · n) random examples, the sorted ids i32[k] of these examples).

    A wrong label is drawn uniformly from the other classes among 0 .. classes − 1.

    Args:
        key: the randomness of the choice and of the labels.
        data: examples with whole-number labels.
        share: the share of the examples to mislabel, above 0 and at most 1.
        classes: number of classes, at least 2; default: 1 + the largest label.

    >>> data, ids = mislabel(jax.random.key(0), Dataset(np.zeros((6, 1)), np.array([0, 1, 2, 0, 1, 2])), 0.5)
    >>> len(ids), (data.y[ids] != np.array([0, 1, 2, 0, 1, 2])[ids]).all()
    (3, np.True_)
    """
    typed_key(key)
    labels = np.array(data.y)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise BadInput(f"only whole-number labels can be replaced, got {labels.dtype}{list(labels.shape)}")
    classes = int(labels.max()) + 1 if classes is None else classes
    count = round(share * len(labels)) if isinstance(share, Real) and 0 < share <= 1 else 0
    if count == 0 or classes < 2:
        raise BadInput(
            f"the share of labels to replace must be at most 1 and large enough for one of {len(labels)} examples, and "
            f"there must be two classes or more; got {share!r} and {classes} classes"
        )
    ids_key, label_key = jax.random.split(key)
    ids = np.sort(np.asarray(jax.random.permutation(ids_key, len(labels)))[:count]).astype(np.int32)
    labels[ids] = wrong_labels(label_key, jax.numpy.asarray(labels[ids]), classes)
    return replace(data, y=labels), ids
