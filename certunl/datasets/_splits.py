"""What every data set returns, and how its arrays become that."""

from typing import Any, NamedTuple

import numpy as np

from certunl.errors import BadInput
from certunl.training.problem import Dataset

__all__ = ["Splits", "checked_labels", "every_fifth", "from_images", "from_sklearn", "from_table", "limited"]


class Splits(NamedTuple):
    """`train` and `test` Datasets of NumPy arrays, and the number of classes."""

    train: Dataset
    test: Dataset
    classes: int


def limited(size: int | None, available: int, split: str) -> int:
    """How many examples to take of those `available`.

    Raises: BadInput unless `size` is None (all) or from 1 to `available`.
    """
    if available == 0:
        raise BadInput(f"the {split} part of these files holds no example")
    size = available if size is None else size
    if not (isinstance(size, int) and not isinstance(size, bool) and 0 < size <= available):
        raise BadInput(f"{split} must be a number of examples from 1 to {available}, got {size!r}")
    return size


def checked_labels(labels: np.ndarray, classes: int, where: Any, first: int = 0) -> np.ndarray:
    """Labels from `first` to first + classes - 1 as i32[n] from 0. Raises: BadInput where one is another."""
    allowed = np.arange(first, first + classes)
    if len(wrong := np.flatnonzero(~np.isin(labels, allowed))):
        raise BadInput(
            f"{where}: the label of example {wrong[0]} is {labels[wrong[0]]}, expected is one of the whole numbers "
            f"from {first} to {first + classes - 1}"
        )
    return labels.astype(np.int32) - first


def every_fifth(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(training rows, test rows) of a set without a split of its own: rows 4, 9, 14, ... are held out."""
    rows = np.arange(count)
    return rows[rows % 5 != 4], rows[rows % 5 == 4]


def from_table(x: np.ndarray, y: np.ndarray, size: int | None, split: str, owners: np.ndarray | None = None) -> Dataset:
    """The first `size` rows (None: all), x as f32, y and owners as i32."""
    size = limited(size, len(y), split)
    owners = None if owners is None else owners[:size].astype(np.int32)
    return Dataset(x[:size].astype(np.float32), y[:size].astype(np.int32), owners)


def from_images(
    pixels: np.ndarray, labels: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...], **parts: Any
) -> Dataset:
    """Pixels u8[n, h, w, c] as f32, (x/255 - mean)/std per channel; `parts` are the Dataset's other fields."""
    x = (pixels.astype(np.float32) / 255 - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return Dataset(x, labels.astype(np.int32), **parts)


def from_sklearn(loader: Any, train: int | None, test: int | None) -> Splits:
    """A bundled table: one fixed stratified 80/20 split, features standardised by the training rows."""
    from sklearn.model_selection import train_test_split

    bunch = loader()
    parts: Any = train_test_split(
        bunch.data.astype(np.float32), bunch.target, test_size=0.2, random_state=0, stratify=bunch.target
    )
    x, x_test, y, y_test = parts
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    deviation[deviation == 0] = 1
    return Splits(
        from_table((x - mean) / deviation, y, train, "train"),
        from_table((x_test - mean) / deviation, y_test, test, "test"),
        len(bunch.target_names),
    )
