"""The parts that all verbs share: words of the command line, seeds, printed lines, and the facts on every page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from certunl import registry
from certunl.base import Key
from certunl.errors import whole
from certunl.evaluation import Report
from certunl.folders import RunFolder
from certunl.membership.target import Attack

__all__ = ["Attacks", "Folder", "Settings", "Words", "attacking", "listed", "made_with", "paged", "say", "seeded"]


def listed(text: str, names: Sequence[str]) -> Any:
    """The help of an argument that is one of `names`."""
    return tyro.conf.arg(help=f"{text}: {', '.join(names)}.")


Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="the run folder")]
Settings = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")]
Words = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")]
Attacks = Annotated[
    tuple[str, ...],
    tyro.conf.arg(
        metavar="NAME ...",
        help=f"membership attacks: all, or some of {', '.join(registry.names('attacks'))}. Settings follow a colon: "
        "update_difference:features=l2,attacker=forest.",
    ),
]


def seeded(seed: int) -> Key:
    whole(seed=seed, least=0, most=2**31 - 1)
    return jax.random.key(seed)


def say(text: str) -> None:
    """Prints one line, or a certificate, on stdout."""
    print(text, flush=True)


def attacking(words: tuple[str, ...]) -> dict[str, Attack] | None:
    """The attacks that the tuple `words` names, such as "lira" or "update_difference:features=l2,attacker=forest".

    The single word "all" gives None, which stands for every attack. Raises: BadInput for an unknown name or setting.
    """
    if words == ("all",):
        return None
    return {word: _attack(word) for word in words}


def _attack(word: str) -> Attack:
    name, _, settings = word.partition(":")
    return registry.build("attacks", name, **registry.parse(pair for pair in settings.split(",") if pair))


def made_with(folder: RunFolder) -> dict[str, Any]:
    """The settings, versions and device of a run."""
    return {**folder.facts["settings"], **folder.facts["versions"], "device": folder.facts["device"]}


def paged(reports: list[Report]) -> list[tuple[Report, list[str]]]:
    """Each report with its certificates as printed."""
    return [(report, [f"{name}\n{text}" for name, text in report.certificates.items()]) for report in reports]
