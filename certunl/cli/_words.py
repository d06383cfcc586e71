"""The parts that all verbs share: words of the command line, seeds, printed lines, and the facts on every page."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from certunl import registry
from certunl.base import Key
from certunl.certificates.update import Unlearner, declared
from certunl.errors import BadInput, Unavailable, whole
from certunl.folders import Entry, RunFolder
from certunl.folders.settling import Build
from certunl.membership.target import Attack
from certunl.stream import method_of

__all__ = [
    "Attacks",
    "Folder",
    "Formats",
    "Settings",
    "Words",
    "answered",
    "attacking",
    "listed",
    "made_with",
    "method_of",
    "opened",
    "say",
    "seeded",
    "unlearner_of",
]


def listed(text: str, names: Sequence[str]) -> Any:
    """The help of an argument that is one of `names`."""
    return tyro.conf.arg(help=f"{text}: {', '.join(names)}.")


Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="the run folder")]
Settings = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")]
Words = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")]
Formats = Annotated[
    tuple[str, ...],
    tyro.conf.arg(metavar="NAME ...", help="files beside the page: figures as pdf and svg, tables as csv and tex."),
]
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
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        done = "what was done stays done, and certunl ledger RUN lists the requests"
        raise Unavailable(f"the output cannot be written ({error.strerror}); {done}") from error


def unlearner_of(name: str, settings: dict[str, Any]) -> Unlearner:
    """The method of a name, with its settings. Raises: BadInput if the name is not that of a method, or of one whose
    preparation no run folder keeps."""
    method = declared(registry.build("methods", name, **settings))
    if method.serves_once:
        raise BadInput(f"{name} is for the library: what it prepares is a secret that no run folder keeps")
    return method


@contextlib.contextmanager
def opened(folder: RunFolder, *, wait: bool = False, build: Build = method_of) -> Iterator[list[Entry]]:
    """Holds a run folder and gives the open requests that were finished first. It says what became of them."""
    with folder.locked(wait=wait, build=build) as finished:
        for entry in finished:
            say(f"an interrupted request comes first: {answered(entry)}")
        yield finished


def answered(entry: Entry, how: str = "") -> str:
    """What became of a request, in two lines."""
    if entry.state == "refused":
        return f"request {entry.order.id} was refused: {entry.facts['refused']['reason']}"
    facts = entry.facts["applied"]
    cost = facts.get("cost", {})
    numbers = {name: value for name, value in cost.items() if not name.endswith("seconds") and value is not None}
    solved = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in numbers.items())
    took = f" in {cost['seconds']:.4g} s" if "seconds" in cost else ""
    where = entry.facts["released"].get("place", f"releases/{entry.part}")
    line = f"forgot {entry.size} examples{took}{solved}{how}; written to {where}"
    address = f"request {entry.order.id} is entry {entry.number} of the ledger, head {entry.head}"
    return f"{line}\n{address}; the same --id does nothing again"


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
