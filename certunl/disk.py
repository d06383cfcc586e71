"""Atomic, durable files and folders, and locks against a second writer.

A function that writes returns when the content and its name are on the disk, so that a power cut cannot undo it.
"""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import filelock

from certunl.errors import BadInput, Unavailable

__all__ = ["check_room", "flush", "hold", "leftover", "lock", "make", "permit", "remove", "remove_leftovers"]
__all__ += ["trouble", "whole", "write_bytes", "write_text"]


_TROUBLES = {
    (errno.ENOSPC, errno.EDQUOT): "free some, then give the same command again",
    (errno.EROFS, errno.EACCES, errno.EPERM): "this user may not write there; change that, then try again",
}


def trouble(error: BaseException) -> str | None:
    """A sentence on a full disk, a quota, a read-only file system or a missing permission; None for other errors.

    Libraries hide the number of the error in their message.
    """
    for numbers, cure in _TROUBLES.items():
        for number in numbers:
            if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
                place = getattr(error, "filename", None)
                return f"{os.strerror(number)}{f': {place}' if place else ''}; {cure}"
    return None


def check_room(folder: Path, needed: int) -> None:
    """Raises BadInput if the file system of `folder` has less than `needed` bytes free."""
    if (free := shutil.disk_usage(folder).free) < needed:
        raise Unavailable(
            f"{folder} needs about {needed / 2**20:.3g} MiB, and the disk has {free / 2**20:.3g} MiB free; nothing was "
            "done: free some, then give the same command again"
        )


def make(folder: Path) -> None:
    """Makes a folder and its parents, if necessary. Nobody else may write to it, whatever the umask says."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(folder.stat().st_mode & 0o755)


_PARTIAL = re.compile(r"\..+\.certunl-\d+")
"""The names of half-written files and folders, which `leftover` makes."""


def leftover(path: Path) -> Path:
    """The hidden name beside `path` of what is half written or half removed. `lock` removes it after a crash."""
    return path.with_name(f".{path.name}.certunl-{os.getpid()}")


@contextlib.contextmanager
def lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Locks the run folder `folder` against a second writer, and removes half-written files of a killed writer.

    Args:
        folder: the run folder.
        wait: whether to wait for another writer. Default: no.

    Raises: BadInput if another writer has the lock, or `folder` is no run folder.
    """
    if not folder.is_dir():
        raise BadInput(f"there is no run folder {folder}; make one with: certunl train {folder}")
    if not (folder / "run.json").is_file():
        raise BadInput(
            f"{folder} is no run folder, or half-written, because it has no run.json; train into a new folder"
        )
    with hold(folder, wait=wait):
        remove_leftovers(folder)  # `hold` excludes a living writer
        yield


def remove(place: Path) -> None:
    """Removes a file or a folder. A folder gets the name of a leftover first, so it is never there in part."""
    if place.is_symlink() or not place.exists():
        return
    if place.is_dir():
        aside = leftover(place)
        place.rename(aside)
        shutil.rmtree(aside)
    else:
        place.unlink()
    flush(place.parent)


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed writer left in `folder` and in its folders. Links are neither followed nor removed."""
    inner = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    for place in (folder, *(path for path in inner if not _PARTIAL.fullmatch(path.name))):
        for path in [path for path in place.iterdir() if _PARTIAL.fullmatch(path.name) and not path.is_symlink()]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def hold(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Locks any `folder` against a second writer. `wait` waits for another one.

    Raises: BadInput if another writer has the lock, or if no lock can be made in `folder`.
    """
    if not folder.is_dir():
        raise BadInput(f"there is no folder {folder}")
    file_lock = filelock.FileLock(folder / ".lock", timeout=-1 if wait else 0, poll_interval=0.02, mode=0o644)
    try:
        file_lock.acquire()
    except filelock.Timeout:
        raise Unavailable(f"another certunl is working on {folder}; wait until it ends, then try again") from None
    except (OSError, NotImplementedError) as error:
        if said := trouble(error):
            raise Unavailable(f"{folder}: {said}") from error
        raise Unavailable(
            f"{folder} cannot be locked against a second writer ({error}); choose a folder on a file system with locks"
        ) from error
    try:
        yield
    finally:
        file_lock.release()


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Writes a text file completely or not at all."""
    write_bytes(path, text.encode(), mode=mode)


def write_bytes(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Writes a file completely or not at all."""
    partial = leftover(path)
    partial.unlink(missing_ok=True)
    try:
        # the mode comes before the content, which may be secret
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def permit(place: Path, *, public: bool) -> None:
    """Gives a folder and everything in it the modes of what others may read, or of what its owner alone may."""
    for folder, folders, files in os.walk(place):
        if links := [name for name in (*folders, *files) if Path(folder, name).is_symlink()]:
            raise BadInput(f"{Path(folder, links[0])} is a link, and nothing goes through it; put the real one there")
        os.chmod(folder, 0o755 if public else 0o700)
        for name in files:
            os.chmod(Path(folder, name), 0o644 if public else 0o600)


def flush(path: Path) -> None:
    """Waits until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def whole(place: Path, *, private: bool = False) -> Iterator[Path]:
    """A context manager that gives a temporary folder, which becomes `place` when the `with` block ends.

    If the block raises, the temporary folder is removed and `place` stays as it was. Nothing is replaced.

    Args:
        place: the folder to make. Its parents are made if necessary. An empty folder may be there.
        private: whether its owner alone may read it and everything in it. Default: as the umask of the process says.

    Raises: BadInput at the end of the block, if `place` has content by then.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = leftover(place)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700 if private else 0o777)
    try:
        yield partial
        if private:
            permit(partial, public=False)
        for folder, _, files in os.walk(partial):
            for path in [*(Path(folder, name) for name in files), Path(folder)]:
                flush(path)
        try:
            partial.rename(place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise BadInput(f"{place} is there already, with content; nothing is replaced, choose another") from error
        flush(place.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
