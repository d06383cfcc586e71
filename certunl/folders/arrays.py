"""Pytrees of arrays in folders, by orbax. A folder opens on any device and any number of devices."""

import atexit
import contextlib
import functools
import hashlib
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.dtypes import canonicalize_dtype

from certunl.base import Params
from certunl.disk import trouble
from certunl.errors import BadInput, Unavailable
from certunl.training.memory import check_memory

__all__ = ["load_arrays", "save_arrays"]


def save_arrays(path: Path, arrays: Params) -> str:
    """Writes a pytree of arrays to the new folder `path`. The digest of its files."""
    import orbax.checkpoint as ocp

    try:
        with _quiet():
            _writer().save(path.absolute(), args=ocp.args.StandardSave(arrays))
    except Exception as error:  # tensorstore and orbax raise many kinds
        if said := trouble(error):
            raise Unavailable(f"{path.parent}: {said}") from error
        raise
    (path / "commit_success.txt").unlink(missing_ok=True)  # it names the owner's path
    return _digest(path)


@functools.cache
def _writer() -> Any:
    """One writer for all calls, because making one takes as long as writing a small model."""
    import orbax.checkpoint as ocp

    # not StandardCheckpointer, which saves in the background and loses an error there
    alone = _alone()
    writer = ocp.Checkpointer(
        ocp.StandardCheckpointHandler(multiprocessing_options=alone), multiprocessing_options=alone
    )
    atexit.register(writer.close)
    return writer


def _alone() -> Any:
    """Options by which a process reads or writes by itself, even if it is one of several."""
    import orbax.checkpoint as ocp

    rank = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=rank, active_processes={rank}, barrier_sync_key_prefix=f"process{rank}"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without orbax's own lines: its threads log the tracebacks of errors that it also raises."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _digest(path: Path) -> str:
    """sha256 of the names, sizes and contents of all files below the folder `path`, in hexadecimal.

    The file of shardings is left out. It names the devices that wrote the arrays, and is not read.
    """
    sha256 = hashlib.sha256()
    if path.is_symlink():
        raise BadInput(f"{path} is a link, and nothing goes through it; put the real one there")
    for file in sorted(file for file in path.rglob("*") if not file.is_dir() and file.name != "_sharding"):
        if file.is_symlink() or not file.is_file():
            raise ValueError(f"{file.name} is a link or no file")
        sha256.update(f"{file.relative_to(path)} {file.stat().st_size}\n".encode())
        with file.open("rb") as content:
            while block := content.read(2**20):
                sha256.update(block)
    return sha256.hexdigest()


def load_arrays(path: Path, digest: str | None = None) -> Params:
    """The pytree in the folder `path`, as nested dictionaries of arrays on the default device.

    Whichever devices wrote it need not be there.

    Args:
        path: the folder.
        digest: what `save_arrays` returned. The files are compared with it before they are read. Default: unknown.

    Raises: BadInput if it cannot be read, or its files are not those that were written.
    """
    import orbax.checkpoint as ocp

    try:
        if digest is not None and _digest(path) != digest:
            raise ValueError("other files than those that were written")
        handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=_alone())
        with _quiet(), ocp.Checkpointer(handler, multiprocessing_options=_alone()) as checkpointer:
            tree = checkpointer.metadata(path.absolute()).item_metadata.tree
            size = sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree))
            check_memory(f"the arrays in {path}", size, "they are damaged, or belong on a larger machine")
            plainly = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            arrays = checkpointer.restore(path.absolute(), args=ocp.args.PyTreeRestore(restore_args=plainly))
        # without JAX_ENABLE_X64 a foreign checkpoint may hold types that JAX has not
        return jax.tree.map(lambda a: jnp.asarray(a) if a.dtype == canonicalize_dtype(a.dtype) else a, arrays)
    except BadInput:
        raise
    except Exception as error:  # orbax and tensorstore raise many kinds for missing or damaged files
        cure = "restore them from a copy, or make them again"
        raise Unavailable(f"the arrays in {path} are missing or damaged ({type(error).__name__}); {cure}") from error
