"""What thirty people were doing, told from the phones they wore: activities and the postures between them."""

from pathlib import Path

import numpy as np

from certunl.datasets._files import Original, locate, opened
from certunl.datasets._splits import Splits, checked_labels, from_table
from certunl.errors import BadInput
from certunl.training.problem import Dataset

__all__ = ["hapt"]

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
    """7,767 training and 3,162 test windows f32[n, 561] as the authors scaled them (to [-1, 1], which is not
    checked), 12 classes.

    Owners are the subjects, numbered from 1 to 30 by the authors; no subject is in both parts. With
    `transitions=False` only the windows of the six activities stay, and there are 6 classes.
    """
    if not isinstance(transitions, bool):
        raise BadInput(f"transitions must be True or False, got {transitions!r}")
    paths = locate(_ORIGINAL, data_dir)
    parts = [_read([paths[name] for name in _FILES[split]], transitions) for split in ("Train", "Test")]
    made: list[Dataset] = []
    for (x, y, owners), size, split in zip(parts, (train, test), ("train", "test"), strict=True):
        made.append(from_table(x, y, size, split, owners))
    return Splits(made[0], made[1], _ACTIVITIES + (_TRANSITIONS if transitions else 0))


def _read(paths: list[Path], transitions: bool) -> list[np.ndarray]:
    """Features, labels from 0 and subjects, of one part."""
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
    kept = np.flatnonzero(y < _ACTIVITIES) if not transitions else np.arange(len(y))
    return [x[kept], y[kept], subjects[kept, 0]]


def _numbers(path: Path) -> np.ndarray:
    with opened(path, "lines of numbers") as file, np.errstate(over="ignore"):
        numbers = np.array([line.split() for line in file if line.strip()], np.float32)
    if numbers.ndim != 2 or not np.isfinite(numbers).all():
        raise BadInput(f"{path} holds no rows of finite numbers; fetch it again")
    return numbers
