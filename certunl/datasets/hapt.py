"""Activities and postural transitions of thirty people, from the sensors of the phones they wore."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from certunl.datasets._files import Original, locate, opened
from certunl.datasets._splits import Splits, checked_labels, from_table
from certunl.errors import BadInput
from certunl.training.problem import Dataset

__all__ = ["hapt"]

_SCALED = "the scaling of HAPT's features to [-1, 1], which its authors computed, does not depend on forgotten windows"
_FEATURES, _ACTIVITIES, _TRANSITIONS, _SUBJECTS = 561, 6, 6, 30
_FILES = {
    split: tuple(f"{split}/{name}_{split.lower()}.txt" for name in ("X", "y", "subject_id"))
    for split in ("Train", "Test")
}
_ORIGINAL = Original(
    "hapt",
    "J. Reyes-Ortiz et al. (UCI, Smartphone-Based Recognition of Human Activities and Postural Transitions)",
    ((*_FILES["Train"], *_FILES["Test"]),),
    ("HAPT Data Set", "HAPT"),
)


def hapt(
    train: int | None = None, test: int | None = None, data_dir: str | None = None, transitions: bool = True
) -> Splits:
    """7,767 training and 3,162 test windows f32[n, 561], 12 classes.

    The features are in [-1, 1] as the authors scaled them, which certificates name as unchecked. Owners are the
    subjects 1 to 30, and no subject is in both parts. `transitions=False` keeps only the windows of the six activities,
    with 6 classes.
    """
    if not isinstance(transitions, bool):
        raise BadInput(f"transitions must be True or False, got {transitions!r}")
    paths = locate(_ORIGINAL, data_dir)
    parts = [_read([paths[name] for name in _FILES[split]], transitions) for split in ("Train", "Test")]
    splits: list[Dataset] = []
    for (x, y, owners), size, split in zip(parts, (train, test), ("train", "test"), strict=True):
        splits.append(replace(from_table(x, y, size, split, owners), unchecked=(_SCALED,)))
    return Splits(splits[0], splits[1], _ACTIVITIES + (_TRANSITIONS if transitions else 0))


def _read(paths: list[Path], transitions: bool) -> list[np.ndarray]:
    """Features, labels from 0 and subjects of one part."""
    x, labels, subjects = (_numbers(path) for path in paths)
    if x.shape[1] != _FEATURES or labels.shape != (len(x), 1) or subjects.shape != (len(x), 1):
        raise BadInput(
            f"{paths[0]} holds numbers of shape {list(x.shape)}, {paths[1]} {list(labels.shape)} and {paths[2]} "
            f"{list(subjects.shape)}; [n, {_FEATURES}], [n, 1] and [n, 1] are expected"
        )
    y = checked_labels(labels[:, 0], _ACTIVITIES + _TRANSITIONS, paths[1], first=1)
    if len(wrong := np.flatnonzero(~np.isin(subjects, np.arange(1, _SUBJECTS + 1)))):
        raise BadInput(
            f"{paths[2]}, row {wrong[0]}: a subject from 1 to {_SUBJECTS} is expected, got {subjects[wrong[0], 0]}"
        )
    rows = np.flatnonzero(y < _ACTIVITIES) if not transitions else np.arange(len(y))
    return [x[rows], y[rows], subjects[rows, 0]]


def _numbers(path: Path) -> np.ndarray:
    with opened(path, "lines of numbers") as file, np.errstate(over="ignore"):
        numbers = np.array([line.split() for line in file if line.strip()], np.float32)
    if numbers.ndim != 2 or not np.isfinite(numbers).all():
        raise BadInput(f"{path} holds no rows of finite numbers; download it again")
    return numbers
