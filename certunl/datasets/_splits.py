"""What every data set returns, and the two ways of making it."""

import io
import os
from typing import Any, NamedTuple

import numpy as np

from certunl.problem import Dataset
from certunl.typing import BadInput

__all__ = ["Splits", "from_sklearn", "from_tfds"]


class Splits(NamedTuple):
    """`train` and `test` Datasets of NumPy arrays, and the number of classes."""

    train: Dataset
    test: Dataset
    classes: int


def _first(x: np.ndarray, y: np.ndarray, size: int | None, split: str) -> Dataset:
    size = len(y) if size is None else size
    if not (isinstance(size, int) and 0 < size <= len(y)):
        raise BadInput(f"{split} must be a number of examples from 1 to {len(y)}, got {size!r}")
    return Dataset(x[:size], y[:size].astype(np.int32))


def from_sklearn(loader: Any, train: int | None, test: int | None) -> Splits:
    """A bundled table: one fixed stratified 80/20 split, features standardised by the training rows."""
    from sklearn.model_selection import train_test_split

    bunch = loader()
    parts: Any = train_test_split(
        bunch.data.astype(np.float32), bunch.target, test_size=0.2, random_state=0, stratify=bunch.target
    )
    x, x_test, y, y_test = parts
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    deviation[deviation == 0] = 1
    classes = len(bunch.target_names)
    return Splits(
        _first((x - mean) / deviation, y, train, "train"),
        _first((x_test - mean) / deviation, y_test, test, "test"),
        classes,
    )


def _pixels(encoded: bytes) -> np.ndarray:
    """A PNG as u8[h, w, c]."""
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(encoded)))
    return pixels.reshape(*pixels.shape[:2], -1)


def from_tfds(
    name: str,
    train: int | None,
    test: int | None,
    data_dir: str | None,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Splits:
    """Images of a prepared TFDS data set, (x/255 − mean)/std per channel, in stored order.

    Raises: BadInput with the command that fetches the data, where they are not in `data_dir`.
    """
    import tensorflow_datasets as tfds

    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR")  # TFDS itself reads it only once, when imported
    trouble, sources, builder = "no prepared splits", {}, None
    try:
        builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
        sources: Any = builder.as_data_source(decoders={"image": tfds.decode.SkipDecoding()})
    except Exception as error:  # what TFDS raises for missing data differs by version and by file format
        trouble = type(error).__name__
    if builder is None or not {"train", "test"} <= set(sources):
        where = f", data_dir={data_dir!r}" if data_dir else ""
        raise BadInput(
            f"data set {name!r} is not prepared in {data_dir or '~/tensorflow_datasets'} ({trouble}); "
            f"fetch it once with: python -c \"import tensorflow_datasets as tfds; tfds.data_source('{name}'{where})\""
        )
    features: Any = builder.info.features
    classes = features["label"].num_classes
    parts = []
    for split, size in (("train", train), ("test", test)):
        source = sources[split]
        if size is not None and not 0 < size <= len(source):
            raise BadInput(f"{split} must be a number of examples from 1 to {len(source)}, got {size!r}")
        records = source.__getitems__(list(range(len(source) if size is None else size)))
        pixels = np.stack([_pixels(record["image"]) for record in records]).astype(np.float32)
        labels = np.asarray([record["label"] for record in records])
        x = (pixels / 255 - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
        parts.append(Dataset(x, labels.astype(np.int32)))
    return Splits(parts[0], parts[1], classes)
