"""Sets of images, read from the files of their authors or from those that tensorflow-datasets (TFDS) prepares."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from certunl.datasets._files import Original, locate, looking, place
from certunl.datasets._splits import Splits, from_images, limited
from certunl.errors import BadInput

__all__ = ["ImageSet", "Pixels"]

Pixels = tuple[np.ndarray, np.ndarray]
"""Images u8[n, h, w, c] and labels[n]."""


class ImageSet(NamedTuple):
    """A set of images that can be read in two ways.

    Args:
        original: the files of the authors.
        prepared: the name of the set in TFDS.
        read: the function from the paths of `original` to {"train": Pixels, "test": Pixels}.
        mean, std: the constants of (x/255 - mean)/std, one for each channel.
        classes: number of classes.
    """

    original: Original
    prepared: str
    read: Callable[[dict[str, Path]], dict[str, Pixels]]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int = 10

    def load(self, train: int | None, test: int | None, data_dir: str | None) -> Splits:
        """The set from the files of TFDS if `data_dir` has them, otherwise from those of the authors.

        Raises: BadInput that names the files to put into `data_dir` if it has neither, or a file that is damaged.
        """
        sizes = {"train": train, "test": test}
        parts = self._prepared_parts(sizes, data_dir) or self.read(self._paths(data_dir))
        for split, (pixels, labels) in parts.items():
            size = limited(sizes[split], len(labels), split)
            parts[split] = pixels[:size], labels[:size]
        data = {s: from_images(pixels, labels, self.mean, self.std) for s, (pixels, labels) in parts.items()}
        return Splits(data["train"], data["test"], self.classes)

    def _paths(self, data_dir: str | None) -> dict[str, Path]:
        also = f"; a folder {self.prepared} prepared by tensorflow-datasets (as array_record) can be read too"
        return locate(self.original, data_dir, also)

    def _prepared_parts(self, sizes: dict[str, int | None], data_dir: str | None) -> dict[str, Pixels] | None:
        """The set from the files of TFDS; None without such files, or if they are damaged but the authors' exist."""
        top = place(data_dir)
        with looking(top):
            if not any((top / self.prepared).glob("*/dataset_info.json")):
                return None
        try:
            return _from_tfds(self.prepared, sizes, top)
        except _Damaged as damage:
            try:
                self._paths(data_dir)
            except BadInput:
                folder = top / self.original.name
                raise BadInput(f"{damage}; prepare it again, or put the authors' own files into {folder}") from damage
            return None


class _Damaged(BadInput):
    """The files of TFDS cannot be read."""


def _from_tfds(name: str, sizes: dict[str, int | None], folder: Path) -> dict[str, Pixels]:
    """The first `sizes[split]` images of each split of a prepared TFDS data set, in stored order."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=folder, file_format="array_record")
        sources: Any = builder.as_data_source(decoders={"image": tfds.decode.SkipDecoding()})
        parts = {}
        for split, size in sizes.items():
            count = limited(size, len(sources[split]), split)
            records = sources[split].__getitems__(list(range(count)))
            pixels = np.stack([_decoded(record["image"]) for record in records])
            parts[split] = pixels, np.asarray([record["label"] for record in records])
        return parts
    except BadInput:
        raise
    except Exception as error:  # the errors of TFDS for damaged data depend on its version and the file format
        raise _Damaged(
            f"{folder / name} cannot be read as a data set prepared by tensorflow-datasets in the array_record format "
            f"({type(error).__name__})"
        ) from error


def _decoded(encoded: bytes) -> np.ndarray:
    """A PNG as u8[h, w, c]."""
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(encoded)))
    return pixels.reshape(*pixels.shape[:2], -1)
