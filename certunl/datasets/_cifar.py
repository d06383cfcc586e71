"""The two formats of CIFAR-10, rows of bytes and pickles of Python 2, as archives or unpacked."""

import tarfile
from pathlib import Path

import numpy as np

from certunl.datasets._files import opened, reading
from certunl.datasets._pickles import read_pickle
from certunl.datasets._splits import checked_labels
from certunl.errors import BadInput

__all__ = ["FOLDERS", "FORMS", "read_splits"]

_BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
_BINARY = tuple(f"{name}.bin" for name in _BATCHES)
_PACKED = {"cifar-10-python.tar.gz": _BATCHES, "cifar-10-binary.tar.gz": _BINARY}
FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin")
FORMS = (*((archive,) for archive in _PACKED), _BATCHES, _BINARY)
_PIXELS = 3 * 32 * 32


def read_splits(paths: dict[str, Path]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{"train", "test": (images u8[n, 32, 32, 3], labels i32[n])} from the files of one of `FORMS`."""
    (first, place), *_ = paths.items()
    batches = _unpacked(place, _PACKED[first]) if first in _PACKED else [_opened(*item) for item in paths.items()]
    (train, train_labels), (test, test_labels) = (
        [np.concatenate(arrays) for arrays in zip(*part, strict=True)] for part in (batches[:5], batches[5:])
    )
    return {"train": (train, train_labels), "test": (test, test_labels)}


def _opened(name: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    with opened(path, "a batch of CIFAR-10") as file:
        return _batch(file.read(), name, str(path))


def _unpacked(archive: Path, names: tuple[str, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    with reading(archive, "a gzipped archive of CIFAR-10"), tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if member.isfile()]
        batches = []
        for name in names:
            matches = [member for member in members if Path(member.name).name == name]
            file = tar.extractfile(matches[0]) if len(matches) == 1 else None
            if file is None:
                raise BadInput(f"{archive} has {len(matches)} files {name}, but one is expected; download it again")
            batches.append(_batch(file.read(), name, f"{archive}: {name}"))
        return batches


def _batch(content: bytes, name: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    if name.endswith(".bin"):
        numbers = np.frombuffer(content, np.uint8)
        if len(numbers) == 0 or len(numbers) % (1 + _PIXELS):
            raise BadInput(f"{where} holds {len(numbers):,} bytes, not a multiple of the {1 + _PIXELS} of an image")
        rows = numbers.reshape(-1, 1 + _PIXELS)
        pixels, labels = rows[:, 1:], rows[:, 0]
    else:
        pixels, labels = _pickled(content, where)
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), checked_labels(labels, 10, where)


def _pickled(content: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = read_pickle(content)
    except BadInput as refusal:
        raise BadInput(f"{where} is refused: {refusal}") from None
    pixels, labels = batch.get("data"), batch.get("labels")
    if isinstance(labels, list) and all(type(label) is int for label in labels):
        labels = np.array(labels)
    if not (isinstance(pixels, np.ndarray) and isinstance(labels, np.ndarray)):
        pixels, labels = np.empty(0), np.empty(0)
    if pixels.dtype == np.uint8 and labels.ndim == 1 and pixels.shape == (len(labels), _PIXELS) and len(labels):
        return pixels, labels
    raise BadInput(f"{where} holds no images of CIFAR-10; data u8[n, {_PIXELS}] and n labels are expected")
