"""What the verbs share: the words of the command line, seeds, where rows are kept, and how a line is said."""

from pathlib import Path
from typing import Annotated

import jax
import tyro

from certunl import rooms, storage
from certunl.methods import HessianFree
from certunl.typing import Attack, BadInput, Key

__all__ = ["Folder", "Settings", "Words", "attacking", "rows", "say", "seeded"]

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


def attacking(words: tuple[str, ...]) -> dict[str, Attack] | None:
    """Attacks by the words that ask for them, such as lira or update_difference:features=l2,attacker=forest; all: None,
    which is every one there is."""
    if words == ("all",):
        return None
    return {word: _attack(word) for word in words}


def _attack(word: str) -> Attack:
    name, _, settings = word.partition(":")
    return rooms.build("attacks", name, **rooms.parse(pair for pair in settings.split(",") if pair))
