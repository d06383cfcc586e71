"""Folders of images, one folder per class."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from certunl.datasets._files import reading
from certunl.datasets._photographs import check_side, square
from certunl.datasets._plan import checked_classes, checked_inferred, checked_keys, plan_dict
from certunl.datasets._splits import Splits, split
from certunl.errors import BadInput
from certunl.training.problem import Dataset

__all__ = ["read_images"]

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}

Named = list[tuple[Path, str]]
"""(an image, the name of its class)."""


def read_images(
    folder: str | os.PathLike[str],
    *,
    size: int | None = None,
    plan: dict[str, Any] | str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> Splits:
    """Images f32[n, h, w, c] in [0, 1] from `folder`/CLASS/*.png, or from `folder`/train/CLASS and `folder`/test/CLASS.

    Classes are the names of the folders, sorted. Images are gray (c = 1) if all are, otherwise red, green and blue; an
    alpha channel is dropped. Pixels are divided by 255. Without `folder`/test every fifth image is for testing.

    The classes and the shape come from the files, and the data name both as unchecked, unless a plan declares them:
    `{"of": "images", "classes": ["cat", "dog"], "shape": [32, 32, 3], "resized": true}`.

    Args:
        folder: the folder.
        size: the side in pixels of the middle square to which each image is cropped and resized. None takes images as
            they are, which must then have one shape.
        plan: a plan of an earlier reading, or the path of its JSON file. None infers it from the files.
        seed: decides which image of each five is a test image.

    Raises: BadInput that names a file that is no image, or of another shape.
    """
    top = Path(folder)
    parts = [_listed(top)] if not (top / "train").is_dir() else [_listed(top / "train")]
    if (top / "train").is_dir() and (top / "test").is_dir():
        parts.append(_listed(top / "test"))
    everything = [image for part in parts for image in part]
    facts = _inferred(top, everything, size) if plan is None else _declared(plan, size)
    unchecked = ()
    if inferred := facts["inferred"]:
        unchecked = (f"the {' and '.join(inferred)} of the images would be the same without the forgotten examples",)
    numbers = {name: i for i, name in enumerate(facts["classes"])}
    if odd := next((path for path, name in everything if name not in numbers), None):
        raise BadInput(f"{odd} is of a class that the plan lacks; it has {', '.join(numbers)}")
    data = []
    for part in parts:
        pixels = _pixels([path for path, _ in part], facts["shape"], facts["resized"])
        labels = np.array([numbers[name] for _, name in part], np.int32)
        data.append(Dataset(pixels.astype(np.float32) / 255, labels, unchecked=unchecked))
    train, test, rows = split(data, seed)
    return Splits(train, test, len(numbers), None, facts, rows)


def _listed(folder: Path) -> Named:
    """The images of all classes in sorted order. Raises: BadInput without classes, and for a class without images."""
    entries = _entries(folder)
    classes = [path for path in entries if path.is_dir()]
    if loose := next((path for path in entries if path.suffix.lower() in _SUFFIXES and path.is_file()), None):
        raise BadInput(f"{loose} lies in no folder of a class; move it to {folder}/CLASS/{loose.name}")
    if not classes:
        raise BadInput(f"{folder} has no folder of a class; images are expected as {folder}/CLASS/*.png")
    images: Named = []
    for place in classes:
        paths = [path for path in _entries(place) if path.suffix.lower() in _SUFFIXES]
        if not paths:
            raise BadInput(f"{place} holds no image; known are {', '.join(sorted(_SUFFIXES))}")
        images += [(path, place.name) for path in paths]
    return images


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise BadInput(f"the folder {folder} cannot be read: {error.strerror or error}") from error


def _inferred(top: Path, images: Named, size: int | None) -> dict[str, Any]:
    from PIL import Image

    classes = sorted({name for _, name in images})
    if len(classes) < 2:
        raise BadInput(f"{top} has the one class {classes[0]!r}; two folders of classes are needed")
    gray, shape = True, None
    for path, _ in images:
        with reading(path, "an image"), Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise BadInput(f"{path} has pixels of more than 8 bits ({image.mode}); save it with 8 bits per channel")
            gray &= image.mode in ("1", "L", "LA")
            if size is None and shape not in (None, image.size):
                raise BadInput(
                    f"{path} has {image.width} x {image.height} pixels, but {images[0][0]} has {shape[0]} x {shape[1]}"
                    "; size=32 crops and resizes all"
                )
            shape = image.size
    height, width = (check_side(size),) * 2 if size is not None else (shape or (0, 0))[::-1]
    facts = {"of": "images", "classes": classes, "shape": [height, width, 1 if gray else 3]}
    return {**facts, "resized": size is not None, "inferred": ["classes", "shape"]}


def _declared(plan: Any, size: int | None) -> dict[str, Any]:
    facts = plan_dict(plan, "images")
    checked_keys(facts, "the plan", ("of", "classes", "shape"), ("resized", "inferred"))
    if size is not None:
        raise BadInput("size has no effect with a plan; change its shape")
    classes, shape, resized = facts["classes"], facts["shape"], facts.get("resized", False)
    if any(isinstance(name, int) for name in checked_classes(classes, "the classes of the plan", 2)):
        raise BadInput(f"the classes of the plan must be names of folders, got {classes!r}")
    whole = isinstance(shape, Sequence) and len(shape) == 3 and all(type(v) is int and v > 0 for v in shape)
    if not (whole and shape[2] in (1, 3)):
        raise BadInput(f"the shape of the plan must be [height, width, 1 or 3], got {shape!r}")
    if not isinstance(resized, bool) or (resized and shape[0] != shape[1]):
        raise BadInput(f"resized of the plan must be true or false, and true only for squares, got {resized!r}")
    inferred = list(checked_inferred(facts, ("classes", "shape")))
    facts = {"of": "images", "classes": list(classes), "shape": list(shape)}
    return {**facts, "resized": resized, "inferred": inferred}


def _pixels(paths: Sequence[Path], shape: Sequence[int], resized: bool) -> np.ndarray:
    """u8[n, h, w, c]."""
    from PIL import Image

    height, width, channels = shape
    pixels = np.empty((len(paths), height, width, channels), np.uint8)
    for i, path in enumerate(paths):
        with reading(path, "an image"), Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise BadInput(f"{path} has pixels of more than 8 bits ({image.mode}); save it with 8 bits per channel")
            plain = image.convert("L" if channels == 1 else "RGB")
            if resized:
                plain = square(plain, height)
            elif plain.size != (width, height):
                raise BadInput(f"{path} has {plain.width} x {plain.height} pixels; {width} x {height} are expected")
            pixels[i] = np.asarray(plain).reshape(height, width, channels)
    return pixels
