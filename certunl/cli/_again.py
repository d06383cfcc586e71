"""What a long verb has made, kept while it works, so that it goes on after a kill."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from certunl import disk
from certunl.base import digest
from certunl.errors import BadInput, understood
from certunl.evaluation import Report
from certunl.folders import Checkpoints, RunFolder
from certunl.folders.json_files import as_json
from certunl.report import from_json, to_json

__all__ = ["Again", "damaged", "reports_of"]


def reports_of(facts: Any, place: Path) -> list[Report]:
    """Reports from JSON. Raises: BadInput if `place` holds none that this program wrote."""
    with understood(damaged(place)):
        reports = [from_json(one) for one in facts]
        numbers = [value for one in reports for row in one.rows.values() for value in row.values()]
        if wrong := [value for value in numbers if not isinstance(value, int | float) or 1e300 < abs(value) < math.inf]:
            raise ValueError(f"{wrong[0]} is no number of an evaluation")
        return reports


def damaged(place: Path) -> str:
    """The beginning of a sentence about a file that this program can make again."""
    return f"{place} is damaged; delete it and make it again"


class Again:
    """The reports that an interrupted call of the same verb with the same settings has made, by name, and the models
    that it has trained.

    They lie in the folder RUN/NAME (secret). Those of other settings, or before another request, are removed.
    """

    def __init__(self, folder: RunFolder, name: str, settings: Any):
        self.folder, self.name, place = folder, name, folder.path / name
        self.identity = digest([as_json(settings), folder.ledger.head], ())
        self.reports: dict[str, list[Report]] = {}
        try:
            with understood(damaged(place)):
                earlier = folder.read(f"{name}/reports", {})
                if earlier["identity"] != self.identity:
                    raise BadInput(f"{place} is of other settings")
                self.reports = {key: reports_of(several, place) for key, several in earlier["reports"].items()}
        except BadInput:  # what is there is of no use
            disk.remove(place)
            place.mkdir(mode=0o700)
            self._write()
        self.checkpoints = Checkpoints(place / "models", settings=self.identity)

    def put(self, key: str, reports: list[Report]) -> None:
        """Keeps the reports of one part of the work."""
        self.reports[key] = reports
        self._write()

    @contextlib.contextmanager
    def trying(self) -> Iterator[None]:
        """Within the block bad input, of which nothing was made, leaves nothing."""
        try:
            yield
        except BadInput:
            if not self.reports and not (self.folder.path / self.name / "models").exists():
                self.done()
            raise

    def done(self) -> None:
        """Forgets them, when the verb has written its own file."""
        disk.remove(self.folder.path / self.name)

    def _write(self) -> None:
        facts = {key: [to_json(one) for one in several] for key, several in self.reports.items()}
        self.folder.write(f"{self.name}/reports", {"identity": self.identity, "reports": facts})
