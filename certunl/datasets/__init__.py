"""Real data, one set per file: `x(train=None, test=None, **settings) -> Splits`, sizes limiting each split.

The bundled ones (digits, wine, breast_cancer) need no files. The others are read from `data_dir` (default:
$TFDS_DATA_DIR, then ~/tensorflow_datasets): from the files their authors publish, in a folder of the set's name, and
images of mnist, fashion_mnist, cifar10 and svhn also from what tensorflow-datasets prepared, without TensorFlow. A set
whose files are missing raises a sentence that says which files of whom to put where. Images are f32[n, h, w, c].
Categories and scales of a new set are constants of its description, never computed from its rows.
"""

from typing import Any

from certunl import registry
from certunl.datasets._mislabel import mislabel
from certunl.datasets._splits import Splits
from certunl.errors import BadInput, whole

__all__ = ["Splits", "load", "mislabel"]


def load(name: str, *, train_from: int = 0, **settings: Any) -> Splits:
    """The data set `name` as `Splits(train, test, classes)`; `train=` and `test=` limit the sizes, training examples
    begin at number `train_from`: public ones may be the first, private ones the others.

    >>> load("wine").train.x.shape, load("wine", train_from=100).train.x.shape
    ((142, 13), (42, 13))
    """
    whole(train_from=train_from, least=0)
    if train_from and isinstance(size := settings.get("train"), int):
        settings["train"] = size + train_from if size > 0 else size
    splits = registry.build("datasets", name, **settings)
    if train_from >= len(splits.train):
        raise BadInput(f"train_from must be below the {len(splits.train)} training examples, got {train_from}")
    return splits._replace(train=splits.train[train_from:])
