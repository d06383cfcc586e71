"""Labelled Faces in the Wild; the class of a photograph is the person."""

from pathlib import Path

import numpy as np

from certunl.datasets._files import Original, locate
from certunl.datasets._photographs import check_side, photographs
from certunl.datasets._splits import Splits, every_fifth, from_images, limited
from certunl.errors import BadInput, whole

__all__ = ["lfw"]

_FOLDERS = ("lfw/", "lfw-deepfunneled/", "lfw_funneled/")
_ORIGINAL = Original(
    "lfw",
    "G. Huang, M. Ramesh, T. Berg and E. Learned-Miller, University of Massachusetts (Labeled Faces in the Wild)",
    tuple((folder,) for folder in _FOLDERS),
)
_COUNTED = (
    "the classes of LFW, which follow from the number of photographs of each person, do not depend on forgotten ones"
)


def lfw(
    train: int | None = None,
    test: int | None = None,
    data_dir: str | None = None,
    photos: int = 30,
    size: int = 64,
) -> Splits:
    """Photographs f32[n, size, size, 3], (x/255 - 0.5)/0.5, with one class for each person with at least `photos`.

    People are numbered in the alphabetical order of their names, and own their photographs. Every fifth photograph of a
    person is a test example. 34 people have 30 photographs or more.
    """
    whole(photos=photos, least=5)
    ((_, folder),) = locate(_ORIGINAL, data_dir).items()
    people = [sorted(p for p in person.iterdir() if p.suffix == ".jpg") for person in _people(folder)]
    people = [files for files in people if len(files) >= photos]
    if len(people) < 2:
        raise BadInput(
            f"{folder} has fewer than two people with at least {photos} photographs (NAME/NAME_0001.jpg); unpack the "
            "archive there, or lower photos"
        )
    chosen = [every_fifth(len(files)) for files in people]
    parts = []
    for part, (split, limit) in enumerate((("train", train), ("test", test))):
        files = [people[i][j] for i, rows in enumerate(chosen) for j in rows[part]]
        owners = np.array([i for i, rows in enumerate(chosen) for _ in rows[part]], np.int32)
        mixed = np.random.default_rng(0).permutation(len(files))[: limited(limit, len(files), split)]
        pixels = photographs([files[i] for i in mixed], check_side(size))
        parts.append(
            from_images(pixels, owners[mixed], (0.5,) * 3, (0.5,) * 3, owners=owners[mixed], unchecked=(_COUNTED,))
        )
    return Splits(parts[0], parts[1], len(people))


def _people(folder: Path) -> list[Path]:
    """The folders of the people, in alphabetical order."""
    return sorted(place for place in folder.iterdir() if place.is_dir())
