"""Real data, one set per file: `x(train=None, test=None, **settings) -> Splits`, sizes limiting each split.

The bundled ones (digits, wine, breast_cancer) need no network; the others are read through tensorflow-datasets without
TensorFlow from `data_dir` (default: $TFDS_DATA_DIR, then ~/tensorflow_datasets). Images are f32[n, h, w, c].
"""

from typing import Any

from certunl import rooms
from certunl.datasets._splits import Splits

__all__ = ["Splits", "load"]


def load(name: str, **settings: Any) -> Splits:
    """The data set `name` as `Splits(train, test, classes)`; `train=` and `test=` limit the sizes.

    >>> load("wine").train.x.shape
    (142, 13)
    """
    return rooms.build("datasets", name, **settings)
