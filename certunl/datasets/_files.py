"""Where the files of a data set lie, and files that cannot be read."""

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
"""Sets whose files have the same names, by the letters of their own."""


class Original(NamedTuple):
    """A data set as its authors publish it.

    `name` is the folder it is put into; each of `forms` lists what together is the whole set, files (plain or gzipped)
    and folders (their names end in "/"); `folders` are other folders in which people keep it.
    """

    name: str
    publisher: str
    forms: tuple[tuple[str, ...], ...]
    folders: tuple[str, ...] = ()


def place(data_dir: str | os.PathLike[str] | None) -> Path:
    """The folder of all data sets: `data_dir`, else $TFDS_DATA_DIR, else ~/tensorflow_datasets.

    Raises: BadInput where `data_dir` is no path.
    """
    if data_dir is None:
        data_dir = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    with looking(data_dir):
        if not isinstance(data_dir, str | os.PathLike) or not os.fspath(data_dir):
            raise ValueError("a path is expected")
        folder = Path(data_dir).expanduser()
        if "\0" in str(folder):
            raise ValueError("a name with a NUL byte")  # is_dir says no to it
        folder.is_dir()
        return folder


@contextmanager
def looking(data_dir: Any) -> Iterator[None]:
    """Turns what a folder that cannot be looked into raises into one sentence."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"the folder of data sets {data_dir!r} cannot be looked into: {error}") from error


def locate(original: Original, data_dir: str | os.PathLike[str] | None, also: str = "") -> dict[str, Path]:
    """{file name: path} of the first form whose files are all there.

    Looked into are the folder NAME of `data_dir`, the other `folders`, and `data_dir` itself, unless it is called
    like another set with files of the same names (MNIST and Fashion-MNIST).

    Raises: BadInput that says which files of whom to put where; `also` names another way.
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
        f"into the folder {top / original.name} (files may be gzipped; what ends in / is an unpacked folder){also}"
    )


@contextmanager
def reading(path: Path, form: str) -> Iterator[None]:
    """Turns whatever a file that is truncated, empty or of another form raises into one sentence that names it."""
    try:
        yield
    except BadInput:
        raise
    except PermissionError as error:
        raise BadInput(f"{path} cannot be read: this user may not read it") from error
    except Exception as error:  # every format's reader raises its own kinds
        detail = " ".join(str(error).split())[:200] or "no reason given"
        raise BadInput(
            f"{path} cannot be read as {form} ({type(error).__name__}: {detail}); it is truncated, damaged or another "
            "file: fetch it again"
        ) from error


@contextmanager
def opened(path: Path, form: str) -> Iterator[IO[bytes]]:
    """A file's bytes, all of them read, unzipped where it is gzipped (told by its first two bytes)."""
    with reading(path, form):
        content = path.read_bytes()
        yield io.BytesIO(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)


def _there(folder: Path, name: str) -> Path | None:
    """The file `name`, plain or gzipped, or the folder `name`, where it is there."""
    path = folder / name
    if name.endswith("/"):
        return path if path.is_dir() else None
    return next((p for p in (path, path.with_name(path.name + ".gz")) if p.is_file()), None)


def _of_another(folder: Path, original: Original) -> bool:
    """Whether `folder`, or else the one it lies in, is called like another set with files of the same names."""
    names = [_letters(part) for part in folder.resolve().parts[:-3:-1]]
    return next((name != _letters(original.name) for name in names if name in _ALIKE), False)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
