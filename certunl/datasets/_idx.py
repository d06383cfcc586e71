"""The format of MNIST, a big-endian header of sizes followed by bytes."""

import math
from pathlib import Path

import numpy as np

from certunl.datasets._files import opened
from certunl.datasets._splits import checked_labels
from certunl.errors import BadInput

__all__ = ["FILES", "read_idx", "read_splits"]

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_FORM = "an idx file of bytes"


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """u8[n, *shape] of an idx file, plain or gzipped.

    Raises: BadInput if the header describes another shape, or if the number of bytes is not that of the header.
    """
    with opened(path, _FORM) as file:
        header = file.read(4 * (2 + len(shape)))
        sizes = tuple(int.from_bytes(header[i : i + 4]) for i in range(4, len(header), 4))
        valid = header[:4] == bytes((0, 0, 8, 1 + len(shape))) and len(sizes) == 1 + len(shape)
        if not (valid and sizes[1:] == shape and sizes[0] > 0):
            raise BadInput(
                f"{path} is no idx file of bytes of shape {['n', *shape]}: it begins with "
                f"{header.hex(' ', 4) or 'nothing'}; download it again"
            )
        count = math.prod(sizes)
        numbers = file.read()
    if len(numbers) != count:
        raise BadInput(f"{path} holds {len(numbers):,} bytes, but its header announces {count:,}; download it again")
    return np.frombuffer(numbers, np.uint8).reshape(sizes)


def read_splits(paths: dict[str, Path]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{"train", "test": (images u8[n, 28, 28, 1], labels u8[n])} from the four `FILES`."""
    parts = {}
    for split, (images_name, labels_name) in {"train": FILES[:2], "test": FILES[2:]}.items():
        images, labels = read_idx(paths[images_name], (28, 28)), read_idx(paths[labels_name], ())
        if len(images) != len(labels):
            raise BadInput(
                f"{paths[images_name]} holds {len(images):,} images but {paths[labels_name]} {len(labels):,} labels; "
                "download both again"
            )
        parts[split] = images[..., None], checked_labels(labels, 10, paths[labels_name])
    return parts
