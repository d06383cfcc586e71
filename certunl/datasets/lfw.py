"""Labelled Faces in the Wild: whose face it is."""

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
_COUNTED = "which people of LFW are classes follows from how many photographs each has, forgotten ones among them"


def lfw(
    train: int | None = None,
    test: int | None = None,
    data_dir: str | None = None,
    photos: int = 30,
    size: int = 64,
) -> Splits:
    """Photographs f32[n, size, size, 3], (x/255 - 0.5)/0.5, one class per person who has at least `photos` of them.

    People are numbered by their names in alphabetical order; each is the owner of their photographs. Every fifth
    photograph of a person is held out. With 30 photographs or more there are 34 people.
    """
    whole(photos=photos, least=5)
    ((_, folder),) = locate(_ORIGINAL, data_dir).items()
    people = [sorted(p for p in person.iterdir() if p.suffix == ".jpg") for person in _people(folder)]
    people = [files for files in people if len(files) >= photos]
    if len(people) < 2:
        raise BadInput(
            f"{folder} has fewer than two people with at least {photos} photographs (NAME/NAME_0001.jpg); "
            "unpack it there"
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
    return sorted(place for place in folder.iterdir() if place.is_dir())
