"""32 x 32 house numbers."""

from pathlib import Path
from typing import Any

import numpy as np

from certunl.datasets._files import Original, opened
from certunl.datasets._images import ImageSet, Pixels
from certunl.datasets._splits import Splits, checked_labels
from certunl.errors import BadInput

__all__ = ["svhn"]

_FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}


def _read(paths: dict[str, Path]) -> dict[str, Pixels]:
    """{"train", "test": Pixels} from X u8[32, 32, 3, n] and y u8[n, 1] of each file; y is 10 for the digit 0."""
    from scipy.io import loadmat

    parts = {}
    for split, name in _FILES.items():
        with opened(paths[name], "a MATLAB file of SVHN") as file:
            content: Any = loadmat(file, variable_names=["X", "y"])
        pixels, labels = (np.asarray(content.get(key)) for key in ("X", "y"))
        if pixels.dtype != np.uint8 or pixels.shape != (32, 32, 3, labels.size) or labels.dtype.kind not in "iuf":
            raise BadInput(f"{paths[name]} holds no images of SVHN; X u8[32, 32, 3, n] and y[n, 1] are expected")
        digits = 1 + checked_labels(labels.reshape(-1), 10, paths[name], first=1)
        parts[split] = pixels.transpose(3, 0, 1, 2), digits % 10
    return parts


_SET = ImageSet(
    Original(
        "svhn",
        "Y. Netzer et al. (The Street View House Numbers dataset, format 2: cropped digits)",
        (tuple(_FILES.values()),),
    ),
    prepared="svhn_cropped",
    read=_read,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)


def svhn(train: int | None = None, test: int | None = None, data_dir: str | None = None) -> Splits:
    """73,257 training and 26,032 test images f32[n, 32, 32, 3], 10 classes (the digits); (x/255 - 0.5)/0.5."""
    return _SET.load(train, test, data_dir)
