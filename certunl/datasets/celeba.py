"""Faces of celebrities, with forty attributes and whose they are."""

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

    The class is 1 where the photograph has the attribute `label`, by its name in list_attr_celeba.txt. The authors'
    partition is kept, its validation part left out. Owners are the people of identity_CelebA.txt, where it is there.
    All photographs of 64 x 64 pixels take 8 GB: `train` and `test` limit what is read.
    """
    check_side(size)
    paths = locate(_ORIGINAL, data_dir)
    attributes = _attribute(paths[_ATTRIBUTES], label)
    parts = _table(paths[_PARTS], ("0", "1", "2"))
    people = _table(paths[_PEOPLE]) if _PEOPLE in paths else None
    made = []
    for split, code, limit in (("train", "0", train), ("test", "2", test)):
        names = sorted(name for name, part in parts.items() if part == code)
        names = names[: limited(limit, len(names), split)]
        for table, path in ((attributes, paths[_ATTRIBUTES]), (people, paths.get(_PEOPLE))):
            if table is not None and (absent := [name for name in names if name not in table]):
                raise BadInput(f"{path} has no line for {absent[0]}, which {paths[_PARTS]} names; fetch it again")
        y = np.array([attributes[name] == "1" for name in names], np.int32)
        owners = None if people is None else np.array([int(people[name]) for name in names], np.int32)
        pixels = photographs([paths[_IMAGES] / name for name in names], size)
        made.append(from_images(pixels, y, (0.5,) * 3, (0.5,) * 3, owners=owners))
    return Splits(made[0], made[1], 2)


def _attribute(path: Path, label: str) -> dict[str, str]:
    """{photograph: "1" or "-1"} for one attribute: after a line with the number of rows one with their names."""
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
        raise BadInput(f"{path} announces {' '.join(lines[0])} rows and holds {len(lines) - 2}; fetch it again")
    return _by_name(path, lines[2:], column)


def _table(path: Path, known: tuple[str, ...] = ()) -> dict[str, str]:
    """{photograph: number} of a file of such lines."""
    with opened(path, "a table of CelebA") as file:
        lines = [line.split() for line in file.read().decode().splitlines() if line.strip()]
    for number, fields in enumerate(lines, 1):
        if len(fields) != 2 or not fields[1].isdecimal() or len(fields[1]) > 9 or (known and fields[1] not in known):
            raise BadInput(f"{path}, line {number}: a photograph's name and a number are expected, got {fields}")
    return _by_name(path, lines, 1)


def _by_name(path: Path, lines: list[list[str]], column: int) -> dict[str, str]:
    """{photograph: field}, each a file name and named once."""
    table: dict[str, str] = {}
    for name, *fields in lines:
        if name in table or re.fullmatch(r"[\w.-]+", name) is None:
            raise BadInput(f"{path} names {name!r}, which {'it named before' if name in table else 'is no file name'}")
        table[name] = fields[column - 1]
    return table
