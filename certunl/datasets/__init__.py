"""Real data sets, one per file, each a function `x(train=None, test=None, **settings) -> Splits`.

`train` and `test` limit the number of examples. Images are f32[n, h, w, c]. digits, wine and breast_cancer come with
scikit-learn and need no files. The other sets are read from `data_dir` (default: $TFDS_DATA_DIR, then
~/tensorflow_datasets). Their files are those that the authors publish, in a folder with the name of the set. mnist,
fashion_mnist, cifar10 and svhn are also read as tensorflow-datasets prepares them; this does not need TensorFlow. If
files are missing, the error names the files, their publisher and the folder to put them into.

The user's own data come from `read_csv`, `read_npz`, `read_table` and `read_images`, or from a function. `load` takes
all of them by name. Their `Splits.plan` says what was understood, `plan_lines` prints it, and the readers take it back.

A new set takes its categories and scales from constants of its description and never computes them from its rows.
"""

import os
from typing import Any

from certunl import registry
from certunl.datasets._arrays import read_npz
from certunl.datasets._image_folders import read_images
from certunl.datasets._mislabel import mislabel
from certunl.datasets._sources import FORMS, is_own, read_own
from certunl.datasets._splits import Splits, limited
from certunl.datasets._tables import read_csv, read_table
from certunl.datasets._words import plan_lines
from certunl.errors import BadInput, whole

__all__ = ["Splits", "load", "mislabel", "plan_lines", "read_csv", "read_images", "read_npz", "read_table"]


def load(name: str | os.PathLike[str], *, train_from: int = 0, **settings: Any) -> Splits:
    """The data set `name` as `Splits(train, test, classes)`.

    A function may return `Splits`, (train, test), or one Dataset, whose every fifth row is then for testing. Its module
    may lie in the current folder. What it did with the rows is unknown, and its data say so under `unchecked`.

    Args:
        name: the name of a set of this library, a file (.npz, .csv, .tsv, .parquet, .arrow, .feather), a folder of
            images (FOLDER/CLASS/*.png), or package.module:function.
        train_from: the first training example, so that earlier ones can serve as public data.
        settings: `train` and `test` limit the number of examples. The others go to the set, to the reader of the file
            (such as `label`, `owner`, `plan` and `seed`), or to the function.

    Raises: BadInput for another name, which lists the known ones, and for what a reader or a set refuses.

    >>> load("wine").train.x.shape, load("wine", train_from=100).train.x.shape
    ((142, 13), (42, 13))
    """
    whole(train_from=train_from, least=0)
    if not isinstance(name, str | os.PathLike):
        raise BadInput(f"a data set is named by text, got {type(name).__name__}")
    name, known = os.fspath(name), registry.names("datasets")
    train = settings.get("train")
    if train_from and isinstance(train, int):
        train = settings["train"] = train + train_from if train > 0 else train
    if name in registry.names("datasets", own=True):
        splits = registry.build("datasets", name, **settings)
    elif name in known or is_own(name, settings.get("data_dir")):
        settings.pop("train", None)
        test = settings.pop("test", None)
        splits = read_own(name, settings, registry.find("datasets", name) if name in known else None)
        sizes = limited(train, len(splits.train), "train"), limited(test, len(splits.test), "test")
        rows = None if splits.rows is None else splits.rows[: sizes[0]]
        splits = splits._replace(train=splits.train[: sizes[0]], test=splits.test[: sizes[1]], rows=rows)
    else:
        raise BadInput(f"there is no data set {name!r}; known are {', '.join(known)}; also taken is {FORMS}")
    if train_from >= len(splits.train):
        raise BadInput(f"train_from must be below the {len(splits.train)} training examples, got {train_from}")
    rows = None if splits.rows is None else splits.rows[train_from:]
    return splits._replace(train=splits.train[train_from:], rows=rows)
