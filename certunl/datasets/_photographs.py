"""Folders of photographs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from certunl.datasets._files import reading
from certunl.errors import BadInput

__all__ = ["check_side", "photographs", "square"]


def check_side(size: int) -> int:
    """`size`. Raises: BadInput unless it is a side from 8 to 512 pixels."""
    if not (isinstance(size, int) and 8 <= size <= 512):
        raise BadInput(f"size must be the side of the images in pixels, from 8 to 512, got {size!r}")
    return size


def photographs(paths: Sequence[Path], size: int) -> np.ndarray:
    """u8[n, size, size, 3]: the middle square of each photograph, resized (Pillow, bilinear).

    Raises: BadInput that names a file that is no photograph, or a truncated one.
    """
    from PIL import Image

    pixels = np.empty((len(paths), size, size, 3), np.uint8)
    for i, path in enumerate(paths):
        with reading(path, "a photograph"), Image.open(path) as image:
            pixels[i] = np.asarray(square(image.convert("RGB"), size))
    return pixels


def square(image: Any, size: int) -> Any:
    """The middle square of a Pillow image, resized (bilinear)."""
    from PIL import Image

    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    return image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
