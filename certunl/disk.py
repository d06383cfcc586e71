"""Files that are whole or absent: JSON without NaN, pytrees of arrays, folders renamed into place; one writer."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import jax
import numpy as np

from certunl.base import Params
from certunl.errors import BadInput

__all__ = [
    "as_json",
    "digest",
    "hold",
    "load_arrays",
    "lock",
    "plain",
    "read_json",
    "save_arrays",
    "whole",
    "write_bytes",
    "write_json",
    "write_text",
]


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Holds `folder` against a second writer and clears what a killed one left half-written.

    Raises: BadInput when there is a second writer, or `folder` is no run folder.
    """
    if not folder.is_dir():
        raise BadInput(f"there is no run folder {folder}; make one with: certunl train {folder}")
    if not (folder / "run.json").is_file():
        raise BadInput(f"{folder} is no run folder, or a half-written one: it has no run.json; train into a new folder")
    with hold(folder):
        for left in [*folder.glob("*/.*"), *folder.glob(".*.*.*")]:  # by a writer that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Holds any `folder` against a second writer.

    Raises: BadInput when there is one, and where no lock can be made there.
    """
    if not folder.is_dir():
        raise BadInput(f"there is no folder {folder}")
    held = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        held.acquire()
    except filelock.Timeout:
        raise BadInput(f"another certunl is working on {folder}; wait for it to end, then ask again") from None
    except (OSError, NotImplementedError) as error:
        raise BadInput(f"{folder} cannot be held against a second writer ({error})") from error
    try:
        yield
    finally:
        held.release()


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Writes a file whole or not at all."""
    write_bytes(path, text.encode(), mode=mode)


def write_bytes(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.touch(mode=mode)
    partial.write_bytes(content)
    partial.replace(path)


def write_json(path: Path, content: Any, *, mode: int = 0o644) -> None:
    """Writes JSON whole or not at all."""
    write_text(path, json.dumps(as_json(content), indent=1, allow_nan=False) + "\n", mode=mode)


def as_json(content: Any) -> Any:
    """`content` as it comes back from a file: lists for tuples and arrays, None for NaN and infinity."""
    return json.loads(json.dumps(content, default=plain), parse_constant=lambda _: None)


def read_json(path: Path, otherwise: str) -> Any:
    """JSON, or BadInput that ends with `otherwise`; so does reading a name that is not in it."""

    class Facts(dict):
        def __missing__(self, key: str) -> Any:
            raise BadInput(f"{path} has no {key!r}: {otherwise}")

    try:
        content = json.loads(path.read_text(), object_hook=Facts)
        if not content or not isinstance(content, Facts | list):
            raise BadInput(f"{path} holds nothing of use: {otherwise}")
        return content
    except (OSError, json.JSONDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({type(error).__name__}): {otherwise}") from error


@contextlib.contextmanager
def whole(place: Path, replacing: bool = False) -> Iterator[Path]:
    """A folder to write into that becomes `place` at the end, and leaves nothing behind when it fails.

    What was at `place` stays until then; without `replacing` it stays for good, and BadInput is raised.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{place.name}.{os.getpid()}")
    old = place.with_name(f".{place.name}.{os.getpid()}.old")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if replacing and place.exists():
            place.rename(old)
        try:
            partial.rename(place)
        except OSError as error:
            raise BadInput(f"{place} was made by another certunl in the meantime; choose another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def save_arrays(path: Path, arrays: Params) -> None:
    """Writes a pytree of arrays to the new folder `path`."""
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), arrays)


def load_arrays(path: Path) -> Params:
    """The pytree in `path`, nested dictionaries of arrays. Raises: BadInput where it is missing or damaged."""
    import orbax.checkpoint as ocp

    try:
        with ocp.StandardCheckpointer() as checkpointer:
            return checkpointer.restore(path.absolute())
    except Exception as error:  # orbax and tensorstore raise many kinds for missing or damaged files
        raise BadInput(
            f"the arrays in {path} are missing or damaged ({type(error).__name__}); make them again"
        ) from error


def digest(settings: Any, arrays: Params) -> str:
    """sha256 of `settings` as JSON and of the dtype, shape and bytes of every array, in hexadecimal."""
    told = hashlib.sha256(json.dumps(settings, sort_keys=True, default=plain).encode())
    for leaf in jax.tree.leaves(arrays):
        array = np.ascontiguousarray(leaf)
        told.update(f"{array.dtype}{array.shape}".encode())
        told.update(array.reshape(-1).view(np.uint8).data)  # bfloat16 has no buffer of its own
    return told.hexdigest()


def plain(value: Any) -> Any:
    """A NumPy or JAX value as JSON can hold it."""
    if isinstance(value, np.ndarray | jax.Array | np.generic):
        return np.asarray(value).tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
