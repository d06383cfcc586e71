"""Checkpoints of a training on disk, from which it goes on after a kill."""

import re
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from certunl import disk
from certunl.base import digest
from certunl.errors import BadInput
from certunl.folders.arrays import load_arrays, save_arrays
from certunl.folders.json_files import as_json, read_json, write_json
from certunl.training.mesh import together

__all__ = ["Checkpoints"]


@dataclass
class Checkpoints:
    """The state of a training in a folder of its own. The same call of `train` with the same folder goes on from it.

        run = cu.train(problem, recipe, key, checkpoints=cu.Checkpoints("runs/big"))

    A state is as secret as the model. It describes the training with all its examples, so remove the folder when the
    training is done (`clear`).

    Args:
        place: the folder. It is made if necessary.
        seconds: the least time between two states. Default: 30. The newest state is kept, the others are removed.
        settings: what else must be the same for a training to go on, ready for JSON. Default: start, schedule, recipe,
            model, losses and data alone are compared, as far as they are of this library.

    After `begin`, `spent` is the time in seconds that earlier calls took to reach the state; 0 without one.
    """

    place: Path | str
    seconds: float = 30.0
    settings: Any = None
    spent: float = field(default=0.0, init=False, repr=False)
    _began: float = field(default=0.0, init=False, repr=False)
    _identity: str = field(default="", init=False, repr=False)
    _last: float = field(default=0.0, init=False, repr=False)

    def within(self, name: str) -> "Checkpoints":
        """Those of another training, in the folder `name` within this one."""
        return replace(self, place=Path(self.place) / name)

    def begin(self, identity: str) -> tuple[int, list[Any]]:
        """(the number of steps that are done, the arrays after them); (0, []) without a state.

        Raises: BadInput if there is a state of another training, or a damaged one.
        """
        if together() > 1:
            raise BadInput("several processes would write the same checkpoints; train without them, or in one process")
        self._identity = digest([identity, as_json(self.settings)], ())
        self._began = self._last = time.monotonic()
        if Path(self.place).is_symlink():
            raise BadInput(f"{self.place} is a link, and nothing goes through it; put the real one there")
        Path(self.place).mkdir(parents=True, exist_ok=True, mode=0o700)
        disk.remove_leftovers(Path(self.place))
        if not (states := self._states()):
            return 0, []
        cure = "remove it to begin anew, or give the settings that it was begun with"
        facts = read_json(states[-1] / "facts.json", cure, lists=False)
        others = {name: value for name, value in facts.items() if name != "digest"}
        if facts["digest"] != digest(others, ()) or str(facts["steps"]) != states[-1].name:
            raise BadInput(f"{states[-1]} is not as it was written; {cure}")
        if facts["identity"] != self._identity:
            raise BadInput(f"{self.place} holds the state of a training with other settings or data; {cure}")
        arrays = load_arrays(states[-1] / "arrays", facts["arrays"])
        self.spent = facts["seconds"]
        return facts["steps"], [arrays[f"{i:04d}"] for i in range(len(arrays))]

    def save(self, steps: int, arrays: list[Any]) -> None:
        """Keeps the arrays after that many steps, unless a state was kept less than `seconds` ago."""
        if time.monotonic() - self._last < self.seconds:
            return
        earlier = self._states()
        with disk.whole(Path(self.place) / str(steps), private=True) as partial:
            written = save_arrays(partial / "arrays", {f"{i:04d}": array for i, array in enumerate(arrays)})
            facts = {"identity": self._identity, "steps": steps, "arrays": written}
            facts["seconds"] = self.spent + time.monotonic() - self._began
            write_json(partial / "facts.json", facts | {"digest": digest(facts, ())})
        for state in earlier:
            disk.remove(state)
        self._last = time.monotonic()

    def clear(self) -> None:
        """Removes the folder, if there is one and it holds nothing but states."""
        place = Path(self.place)
        if place.is_dir() and not place.is_symlink():
            disk.remove_leftovers(place)
            for state in self._states():
                disk.remove(state)
            if not any(place.iterdir()):
                place.rmdir()

    def _states(self) -> list[Path]:
        """The folders of states, in order."""
        paths = [path for path in Path(self.place).iterdir() if re.fullmatch(r"\d+", path.name)]
        return sorted(paths, key=lambda path: int(path.name))
