"""Where the files of a data set lie, and files that cannot be read."""

import gzip
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from certunl.errors import BadInput

__all__ = ["Original", "locate", "opened", "place", "reading"]


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
    """The folder of all data sets: `data_dir`, else $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def locate(original: Original, data_dir: str | os.PathLike[str] | None, also: str = "") -> dict[str, Path]:
    """{file name: path} of the first form whose files are all there.

    Looked into are the folder NAME of `data_dir`, the other `folders`, and `data_dir` itself unless it is called by
    another name that the registry knows.

    Raises: BadInput that says which files of whom to put where; `also` names another way.
    """
    top = place(data_dir)
    incomplete = ""
    for folder in (top / original.name, *(top / name for name in original.folders), top):
        if folder == top and _of_another(top, original.name):
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
        f"into the folder {top / original.name} (gzipped files may stay so){also}"
    )


@contextmanager
def reading(path: Path, form: str) -> Iterator[None]:
    """Turns whatever a file that is truncated, empty or of another form raises into one sentence that names it."""
    try:
        yield
    except BadInput:
        raise
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


def _of_another(folder: Path, name: str) -> bool:
    """Whether `folder` is called like another data set: MNIST's files and Fashion-MNIST's have the same names."""
    known = {p.stem for p in Path(__file__).parent.glob("[a-z]*.py")}
    return folder.resolve().name in known - {name}


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
