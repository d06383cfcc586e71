"""CIFAR-10's two archives, packed or unpacked: rows of bytes, or pickles of Python 2."""

import tarfile
from pathlib import Path
from typing import IO

import numpy as np

from certunl.datasets._files import opened, reading
from certunl.datasets._pickles import read_pickle
from certunl.errors import BadInput

__all__ = ["FORMS", "read_splits"]

_BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
_ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")
_FOLDERS = ("cifar-10-batches-py/", "cifar-10-batches-bin/")
FORMS = (
    *((archive,) for archive in _ARCHIVES),
    *((folder,) for folder in _FOLDERS),
    _BATCHES,
    tuple(f"{name}.bin" for name in _BATCHES),
)
_PIXELS = 3 * 32 * 32


def read_splits(paths: dict[str, Path]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{"train", "test": (images u8[n, 32, 32, 3], labels[n])} of one of `FORMS`."""
    (first, place), *_ = paths.items()
    if first in _ARCHIVES:
        batches = _unpacked(place, ".bin" if "binary" in first else "")
    else:
        files = paths if len(paths) > 1 else {path.name: path for path in sorted(place.iterdir())}
        batches = [_opened(files, name, place) for name in _BATCHES]
    (train, train_labels), (test, test_labels) = (
        [np.concatenate(arrays) for arrays in zip(*part, strict=True)] for part in (batches[:5], batches[5:])
    )
    return {"train": (train, train_labels), "test": (test, test_labels)}


def _opened(files: dict[str, Path], name: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    path = files.get(name) or files.get(f"{name}.bin")
    if path is None:
        raise BadInput(f"{folder} has no {name} or {name}.bin, one of CIFAR-10's six files; unpack the archive again")
    with opened(path, "a batch of CIFAR-10") as file:
        return _batch(file, path.name.endswith(".bin"), str(path))


def _unpacked(archive: Path, end: str) -> list[tuple[np.ndarray, np.ndarray]]:
    with reading(archive, "a gzipped archive of CIFAR-10"), tarfile.open(archive) as tar:
        members = {Path(member.name).name: member for member in tar.getmembers() if member.isfile()}
        batches = []
        for name in _BATCHES:
            file = tar.extractfile(members[name + end]) if name + end in members else None
            if file is None:
                raise BadInput(f"{archive} has no file {name + end}; fetch it again")
            batches.append(_batch(file, bool(end), f"{archive}: {name + end}"))
        return batches


def _batch(file: IO[bytes], binary: bool, where: str) -> tuple[np.ndarray, np.ndarray]:
    if binary:
        numbers = np.frombuffer(file.read(), np.uint8)
        if len(numbers) == 0 or len(numbers) % (1 + _PIXELS):
            raise BadInput(f"{where} holds {len(numbers):,} bytes, no whole number of images of {1 + _PIXELS}")
        rows = numbers.reshape(-1, 1 + _PIXELS)
        pixels, labels = rows[:, 1:], rows[:, 0]
    else:
        pixels, labels = _pickled(file, where)
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _pickled(file: IO[bytes], where: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        content = read_pickle(file)
    except BadInput as refusal:
        raise BadInput(f"{where} is refused: {refusal}") from None
    found = {k.decode() if isinstance(k, bytes) else k: v for k, v in dict(content).items()}
    pixels, labels = np.asarray(found.get("data")), np.asarray(found.get("labels"))
    if (
        pixels.dtype != np.uint8
        or labels.dtype.kind != "i"
        or labels.ndim != 1
        or pixels.shape != (len(labels), _PIXELS)
    ):
        raise BadInput(f"{where} holds no images of CIFAR-10: data u8[n, {_PIXELS}] and as many labels are expected")
    return pixels, labels
