"""Sets of images that come as their authors publish them, or as tensorflow-datasets prepares them."""

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
    """`read(paths) -> {"train": Pixels, "test": Pixels}` of the files of `original`; `prepared` is TFDS's name."""

    original: Original
    prepared: str
    read: Callable[[dict[str, Path]], dict[str, Pixels]]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int = 10

    def load(self, train: int | None, test: int | None, data_dir: str | None) -> Splits:
        """The set, from TFDS's form where `data_dir` has it, else from the authors' files.

        Raises: BadInput that says which files to put where, when neither is there, and names a file that is damaged.
        """
        sizes = {"train": train, "test": test}
        parts = self._prepared_parts(sizes, data_dir) or self.read(self._paths(data_dir))
        for split, (pixels, labels) in parts.items():
            size = limited(sizes[split], len(labels), split)
            parts[split] = pixels[:size], labels[:size]
        made = {s: from_images(pixels, labels, self.mean, self.std) for s, (pixels, labels) in parts.items()}
        return Splits(made["train"], made["test"], self.classes)

    def _paths(self, data_dir: str | None) -> dict[str, Path]:
        also = f"; a folder {self.prepared} that tensorflow-datasets prepared (as array_record) serves as well"
        return locate(self.original, data_dir, also)

    def _prepared_parts(self, sizes: dict[str, int | None], data_dir: str | None) -> dict[str, Pixels] | None:
        """What TFDS prepared; None where there is nothing, or only damage beside the authors' files."""
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
    """What TFDS prepared cannot be read."""


def _from_tfds(name: str, sizes: dict[str, int | None], folder: Path) -> dict[str, Pixels]:
    """Images of a prepared TFDS data set, in stored order, `sizes` of each split."""
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
    except Exception as error:  # what TFDS raises for damaged data differs by version and by file format
        raise _Damaged(
            f"{folder / name} cannot be read as a data set prepared by tensorflow-datasets in the array_record format "
            f"({type(error).__name__})"
        ) from error


def _decoded(encoded: bytes) -> np.ndarray:
    """A PNG as u8[h, w, c]."""
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(encoded)))
    return pixels.reshape(*pixels.shape[:2], -1)
