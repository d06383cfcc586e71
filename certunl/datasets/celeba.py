"""Faces of celebrities, with forty attributes and the identities of the people."""

import re
from pathlib import Path

import numpy as np

from certunl.datasets._files import Original, locate, opened
from certunl.datasets._photographs import check_side, photographs
from certunl.datasets._splits import Splits, from_images, limited
from certunl.errors import BadInput

__all__ = ["celeba"]

_IMAGES, _ATTRIBUTES, _PARTS, _PEOPLE = (
    "img_align_celeba/",
    "list_attr_celeba.txt",
    "list_eval_partition.txt",
    "identity_CelebA.txt",
)
_NEEDED = (_IMAGES, _ATTRIBUTES, _PARTS)
_ORIGINAL = Original(
    "celeba",
    "Z. Liu, P. Luo, X. Wang and X. Tang, The Chinese University of Hong Kong (CelebA, aligned and cropped)",
    ((*_NEEDED, _PEOPLE), _NEEDED),
    ("CelebA",),
)


def celeba(
    train: int | None = None,
    test: int | None = None,
    data_dir: str | None = None,
    label: str = "Male",
    size: int = 64,
) -> Splits:
    """162,770 training and 19,962 test photographs f32[n, size, size, 3], (x/255 - 0.5)/0.5, 2 classes.

    The class is 1 if the photograph has the attribute `label`, a name of list_attr_celeba.txt. The split is the
    authors', without their validation part. Owners are the people of identity_CelebA.txt if the file exists. All
    photographs of 64 x 64 pixels need 8 GB of memory; `train` and `test` limit how many are read.
    """
    check_side(size)
    paths = locate(_ORIGINAL, data_dir)
    attributes = _attribute(paths[_ATTRIBUTES], label)
    parts = _table(paths[_PARTS], ("0", "1", "2"))
    people = _table(paths[_PEOPLE]) if _PEOPLE in paths else None
    splits = []
    for split, code, limit in (("train", "0", train), ("test", "2", test)):
        names = sorted(name for name, part in parts.items() if part == code)
        names = names[: limited(limit, len(names), split)]
        for table, path in ((attributes, paths[_ATTRIBUTES]), (people, paths.get(_PEOPLE))):
            if table is not None and (absent := [name for name in names if name not in table]):
                raise BadInput(f"{path} has no line for {absent[0]}, which {paths[_PARTS]} names; download it again")
        y = np.array([attributes[name] == "1" for name in names], np.int32)
        owners = None if people is None else np.array([int(people[name]) for name in names], np.int32)
        pixels = photographs([paths[_IMAGES] / name for name in names], size)
        splits.append(from_images(pixels, y, (0.5,) * 3, (0.5,) * 3, owners=owners))
    return Splits(splits[0], splits[1], 2)


def _attribute(path: Path, label: str) -> dict[str, str]:
    """{photograph: "1" or "-1"} for one attribute. The first line of the file is the number of rows, the second the
    names of the attributes."""
    with opened(path, "a table of CelebA") as file:
        lines = [line.split() for line in file.read().decode().splitlines() if line.strip()]
    names = lines[1] if len(lines) > 1 else []
    if label not in names or len(set(names)) != len(names):
        raise BadInput(f"{path} has no attribute {label!r}; it has {', '.join(names) or 'none'}")
    column = 1 + names.index(label)
    for number, fields in enumerate(lines[2:], 3):
        if len(fields) != 1 + len(names) or fields[column] not in ("1", "-1"):
            raise BadInput(f"{path}, line {number}: a name and {len(names)} times 1 or -1 are expected")
    if lines[0] != [str(len(lines) - 2)]:
        raise BadInput(f"{path} announces {' '.join(lines[0])} rows and holds {len(lines) - 2}; download it again")
    return _by_name(path, lines[2:], column)


def _table(path: Path, codes: tuple[str, ...] = ()) -> dict[str, str]:
    """{photograph: number} of a file with one such pair on each line; `codes` are the allowed numbers."""
    with opened(path, "a table of CelebA") as file:
        lines = [line.split() for line in file.read().decode().splitlines() if line.strip()]
    for number, fields in enumerate(lines, 1):
        if len(fields) != 2 or not fields[1].isdecimal() or len(fields[1]) > 9 or (codes and fields[1] not in codes):
            raise BadInput(f"{path}, line {number}: a photograph's name and a number are expected, got {fields}")
    return _by_name(path, lines, 1)


def _by_name(path: Path, lines: list[list[str]], column: int) -> dict[str, str]:
    """{photograph: field}. Raises: BadInput for a repeated name, or one with another folder in it."""
    table: dict[str, str] = {}
    for name, *fields in lines:
        if name in table or re.fullmatch(r"[\w.-]+", name) is None:
            raise BadInput(f"{path} names {name!r}, which {'it named before' if name in table else 'is no file name'}")
        table[name] = fields[column - 1]
    return table
