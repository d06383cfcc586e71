"""The result of every data set, and functions that make it from arrays."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from certunl.errors import BadInput, whole
from certunl.training.problem import Dataset

__all__ = [
    "Splits",
    "checked_labels",
    "every_fifth",
    "every_fifth_by_key",
    "from_images",
    "from_sklearn",
    "from_table",
    "limited",
    "numbered_owners",
    "split",
]


class Splits(NamedTuple):
    """A data set in two parts.

    Args:
        train: the training examples, as NumPy arrays.
        test: the test examples, as NumPy arrays.
        classes: number of classes; None for regression.
        owner_names: the own name of each owner, in the order of their numbers; None if there are no owners, or if their
            own names are the numbers.
        plan: what the reader understood, ready for JSON; None for sets that the library brings. A reader takes the plan
            back as `plan=`. Its key "inferred" lists what the rows suggested and nobody declared, which the data name
            under `unchecked`.
        rows: i32[n], for each training example its row in the file (from 0, without a header) or in the function's
            Dataset, or its place in the sorted list of images. None for sets that the library brings, and where the
            rows were not split here.
    """

    train: Dataset
    test: Dataset
    classes: int | None
    owner_names: tuple[str, ...] | None = None
    plan: dict[str, Any] | None = None
    rows: np.ndarray | None = None


def limited(size: int | None, available: int, split: str) -> int:
    """The number of examples to take, `size` or all `available` ones.

    Raises: BadInput unless `size` is None or from 1 to `available`.
    """
    if available == 0:
        raise BadInput(f"the {split} part of these files holds no example")
    size = available if size is None else size
    if not (isinstance(size, int) and not isinstance(size, bool) and 0 < size <= available):
        raise BadInput(f"{split} must be a number of examples from 1 to {available}, got {size!r}")
    return size


def checked_labels(labels: np.ndarray, classes: int, where: Any, first: int = 0) -> np.ndarray:
    """The labels minus `first`, i32[n]. Raises: BadInput for one outside `first` to first + classes - 1."""
    allowed = np.arange(first, first + classes)
    if len(wrong := np.flatnonzero(~np.isin(labels, allowed))):
        raise BadInput(
            f"{where}: the label of example {wrong[0]} is {labels[wrong[0]]}; labels must be whole numbers from "
            f"{first} to {first + classes - 1}"
        )
    return labels.astype(np.int32) - first


def every_fifth(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(training rows, test rows) of a set without a published split. Rows 4, 9, 14, ... are the test rows."""
    rows = np.arange(count)
    return rows[rows % 5 != 4], rows[rows % 5 == 4]


def every_fifth_by_key(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(training rows, test rows): one random row of each five in a row is for testing; an incomplete five is not.

    Whether a row is for testing depends on `seed` and its number alone.
    Raises: BadInput for fewer than five rows.
    """
    whole(seed=seed, least=0, most=2**31 - 1)
    if count < 5:
        raise BadInput(f"five rows are needed, because every fifth is for testing, but there are {count}")
    rows = np.arange(count)
    test = 5 * np.arange(count // 5) + np.random.default_rng(seed).integers(5, size=count // 5)
    return np.setdiff1d(rows, test), test


def split(data: list[Dataset], seed: int) -> tuple[Dataset, Dataset, np.ndarray]:
    """(training part, test part, the row of each training example) of both parts, or of one whose every fifth row is
    for testing."""
    if len(data) == 2:
        return data[0], data[1], np.arange(len(data[0]), dtype=np.int32)
    rows, test = every_fifth_by_key(len(data[0]), seed)
    return data[0][rows], data[0][test], rows.astype(np.int32)


def numbered_owners(names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """(number of the owner of each row i32[n], the names by number).

    Names that are whole numbers of 31 bits stay these numbers, and the second part is None. Other names are numbered in
    the order in which they occur.

    >>> numbered_owners(["ann", "bob", "ann"]), numbered_owners(["7", "3"])
    ((array([0, 1, 0], dtype=int32), ('ann', 'bob')), (array([7, 3], dtype=int32), None))
    """
    if all(name.isascii() and name.isdigit() and (name == "0" or name[0] != "0") for name in names) and all(
        len(name) <= 10 and int(name) < 2**31 for name in names
    ):
        return np.array([int(name) for name in names], np.int32), None
    numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.int32), tuple(numbers)


def from_table(x: np.ndarray, y: np.ndarray, size: int | None, split: str, owners: np.ndarray | None = None) -> Dataset:
    """The first `size` rows, or all if it is None; x is f32, y and owners are i32."""
    size = limited(size, len(y), split)
    owners = None if owners is None else owners[:size].astype(np.int32)
    return Dataset(x[:size].astype(np.float32), y[:size].astype(np.int32), owners)


def from_images(
    pixels: np.ndarray, labels: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...], **parts: Any
) -> Dataset:
    """A Dataset of (x/255 - mean)/std f32[n, h, w, c] from u8[n, h, w, c]; `parts` are its other fields."""
    x = (pixels.astype(np.float32) / 255 - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return Dataset(x, labels.astype(np.int32), **parts)


def from_sklearn(loader: Any, ranges: np.ndarray, train: int | None, test: int | None) -> Splits:
    """A table of scikit-learn with a fixed stratified 80/20 split.

    Each feature is mapped from its range to [-1, 1]. Values outside it stay outside.

    Args:
        loader: the function of scikit-learn.
        ranges: f64[p, 2], the lower and upper end of each feature's range. They follow from the meaning of a feature
            and not from the rows.
        train, test: the number of examples; None for all.
    """
    from sklearn.model_selection import train_test_split

    bunch = loader()
    parts: Any = train_test_split(bunch.data, bunch.target, test_size=0.2, random_state=0, stratify=bunch.target)
    x, x_test, y, y_test = parts
    low, high = ranges.T
    return Splits(
        from_table((2 * x - low - high) / (high - low), y, train, "train"),
        from_table((2 * x_test - low - high) / (high - low), y_test, test, "test"),
        len(bunch.target_names),
    )
