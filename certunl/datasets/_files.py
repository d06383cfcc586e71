"""The search for the files of a data set, and errors for files that cannot be read."""

import gzip
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from certunl.errors import BadInput

__all__ = ["Original", "locate", "looking", "opened", "place", "reading"]

_ALIKE = {"mnist", "fashionmnist", "emnist", "kmnist", "qmnist"}
"""Sets whose files have the same names as those of MNIST, in the spelling of `_letters`."""


class Original(NamedTuple):
    """The files of a data set as its authors publish them.

    Args:
        name: the name of the set and of its folder.
        publisher: the authors and the title, as the error about missing files names them.
        forms: alternatives, each a list of the files (plain or gzipped) and folders (with "/" at the end) of the set.
        folders: other common names of the folder.
    """

    name: str
    publisher: str
    forms: tuple[tuple[str, ...], ...]
    folders: tuple[str, ...] = ()


def place(data_dir: str | os.PathLike[str] | None) -> Path:
    """The folder of all data sets: `data_dir`, else $TFDS_DATA_DIR, else ~/tensorflow_datasets.

    Raises: BadInput if `data_dir` is no path.
    """
    if data_dir is None:
        data_dir = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    with looking(data_dir):
        if not isinstance(data_dir, str | os.PathLike) or not os.fspath(data_dir):
            raise ValueError("a path is expected")
        folder = Path(data_dir).expanduser()
        if "\0" in str(folder):
            raise ValueError("a name with a NUL byte")  # is_dir returns False for it
        folder.is_dir()  # raises if the folder cannot be examined
        return folder


@contextmanager
def looking(data_dir: Any) -> Iterator[None]:
    """Turns the errors of a folder that cannot be examined into one BadInput."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"the folder of data sets {data_dir!r} cannot be examined: {error}") from error


def locate(original: Original, data_dir: str | os.PathLike[str] | None, also: str = "") -> dict[str, Path]:
    """{file name: path} of the first form whose files are all there.

    The search looks into the folder NAME of `data_dir`, into the other `folders`, and into `data_dir` itself. It skips
    `data_dir` if its name is that of another set with files of the same names (MNIST and Fashion-MNIST).

    Raises: BadInput that names the files, their publisher and the folder to put them into, and `also`, another way.
    """
    top, incomplete = place(data_dir), ""
    with looking(top):
        for folder in (top / original.name, *(top / name for name in original.folders), top):
            if folder == top and _letters(original.name) in _ALIKE and _of_another(top, original):
                continue
            for form in original.forms:
                paths = {name: path for name in form if (path := _there(folder, name)) is not None}
                if len(paths) == len(form):
                    return paths
                if paths and not incomplete:
                    missing = ", ".join(name for name in form if name not in paths)
                    incomplete = f"{folder} holds {', '.join(paths)} but not {missing}; "
    files = ", or ".join(_listed(form) for form in original.forms)
    raise BadInput(
        f"data set {original.name!r} is not in {top}: {incomplete}put {files}, as published by {original.publisher}, "
        f"into the folder {top / original.name} (files may be gzipped; a name ending in / is an unpacked folder){also}"
    )


@contextmanager
def reading(path: Path, form: str) -> Iterator[None]:
    """Turns the errors of a file that is truncated, empty or of another format into one BadInput that names it."""
    try:
        yield
    except BadInput:
        raise
    except PermissionError as error:
        raise BadInput(f"{path} cannot be read; this user needs the permission to read it") from error
    except Exception as error:  # the reader of each format raises errors of its own
        detail = " ".join(str(error).split())[:200] or "no reason given"
        raise BadInput(
            f"{path} cannot be read as {form} ({type(error).__name__}: {detail}); it is truncated, damaged or another "
            "file; download it again"
        ) from error


@contextmanager
def opened(path: Path, form: str) -> Iterator[IO[bytes]]:
    """The content of a file, decompressed if its first two bytes are those of gzip."""
    with reading(path, form):
        content = path.read_bytes()
        yield io.BytesIO(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)


def _there(folder: Path, name: str) -> Path | None:
    """The path of the file `name`, plain or gzipped, or of the folder `name`; None if there is none."""
    path = folder / name
    if name.endswith("/"):
        return path if path.is_dir() else None
    return next((p for p in (path, path.with_name(path.name + ".gz")) if p.is_file()), None)


def _of_another(folder: Path, original: Original) -> bool:
    """Whether `folder`, or else its parent, has the name of another set with files of the same names."""
    names = [_letters(part) for part in folder.resolve().parts[:-3:-1]]
    return next((name != _letters(original.name) for name in names if name in _ALIKE), False)


def _letters(name: str) -> str:
    """`name` in small letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _listed(names: tuple[str, ...]) -> str:
    """The names as a list in English, such as `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
