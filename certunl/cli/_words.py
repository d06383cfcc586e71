"""What the verbs share: the words of the command line, seeds, where rows are kept, and how a line is said."""

from pathlib import Path
from typing import Annotated

import jax
import tyro

from certunl import storage
from certunl.methods import HessianFree
from certunl.typing import BadInput, Key

__all__ = ["Folder", "Settings", "Words", "rows", "say", "seeded"]

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="the run folder")]
Settings = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")]
Words = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")]


def rows(folder: Path, method: HessianFree) -> Path:
    """Where the rows of a form are kept."""
    return storage.secret(folder, "prepared") / f"hessian_free_{method.form}"


def seeded(seed: int) -> Key:
    if not 0 <= seed < 2**31:
        raise BadInput(f"seed must be a whole number from 0 to {2**31 - 1}, got {seed}")
    return jax.random.key(seed)


def say(text: str) -> None:
    """One line (or a printed certificate) on stdout."""
    print(text, flush=True)
