"""The attacks of a report, by name."""

from collections.abc import Mapping
from typing import Any

from certunl import registry
from certunl.errors import BadInput
from certunl.membership.target import Attack

__all__ = ["chosen_attacks"]


def chosen_attacks(attacks: Any, shadows: int | None) -> dict[str, Attack]:
    """Attacks by name: a mapping as it is, names with their default settings, None for every attack of the library.

    Without shadow models, None leaves out the attacks that need them. `shadows` may be None, for a number chosen later.
    Raises: BadInput unless `shadows` is 0 or an even number of at least 4, or if an attack needs more than 0.
    """
    if shadows and (shadows < 4 or shadows % 2):
        raise BadInput(f"shadows must be an even number of at least 4, or 0, got {shadows!r}")
    if attacks is None:
        every = {name: attack() for name, attack in registry.every("attacks").items()}
        return {name: attack for name, attack in every.items() if shadows != 0 or attack.needs == "model"}
    names = [attacks] if isinstance(attacks, str) else attacks
    chosen = dict(names) if isinstance(names, Mapping) else {name: registry.build("attacks", name) for name in names}
    if shadows == 0 and (lacking := [name for name, attack in chosen.items() if attack.needs != "model"]):
        raise BadInput(f"shadows must be an even number of at least 4 for {', '.join(lacking)}, got {shadows!r}")
    return chosen
