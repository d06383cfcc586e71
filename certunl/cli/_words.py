"""What the verbs share: the words of the command line, seeds, where rows are kept, how a line is said, and what every
page says.
"""

from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from certunl import disk, folders, registry
from certunl.base import Key
from certunl.errors import whole
from certunl.evaluation import Report
from certunl.membership.target import Attack
from certunl.methods import HessianFree

__all__ = ["Folder", "Settings", "Words", "attacking", "made_with", "paged", "rows", "say", "seeded"]


Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="the run folder")]
Settings = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")]
Words = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")]


def rows(folder: Path, method: HessianFree) -> Path:
    """Where the rows of a form are kept."""
    return folders.secret(folder, "prepared") / f"hessian_free_{method.form}"


def seeded(seed: int) -> Key:
    whole(seed=seed, least=0, most=2**31 - 1)
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
    return registry.build("attacks", name, **registry.parse(pair for pair in settings.split(",") if pair))


def made_with(folder: Path) -> dict[str, Any]:
    """What the run was made with."""
    facts = disk.read_json(folder / "run.json", "train again")
    return {**facts["settings"], **facts["versions"], "device": facts["device"]}


def paged(reports: list[Report]) -> list[tuple[Report, list[str]]]:
    """Each with its certificates as printed."""
    return [(report, [f"{name}\n{text}" for name, text in report.certificates.items()]) for report in reports]
