"""The attacks of a report, by name."""

from collections.abc import Mapping
from typing import Any

from certunl import registry
from certunl.errors import BadInput
from certunl.membership.target import Attack

__all__ = ["chosen_attacks"]


def chosen_attacks(attacks: Any, shadows: int) -> dict[str, Attack]:
    """Attacks by name: a mapping as it is, names built with their defaults, None for every file of the room (those that
    need shadow models where there are any)."""
    if shadows and (shadows < 4 or shadows % 2):
        raise BadInput(f"shadows must be an even number of at least 4, or 0, got {shadows!r}")
    if attacks is None:
        every = {name: registry.build("attacks", name) for name in registry.names("attacks")}
        return {name: attack for name, attack in every.items() if shadows or attack.needs == "model"}
    names = [attacks] if isinstance(attacks, str) else attacks
    given = dict(names) if isinstance(names, Mapping) else {name: registry.build("attacks", name) for name in names}
    if not shadows and (lacking := [name for name, attack in given.items() if attack.needs != "model"]):
        raise BadInput(f"{', '.join(lacking)} need shadow models: give a number of them")
    return given
