"""Reports of a long verb, kept while it works, so that it goes on after a kill."""

from pathlib import Path
from typing import Any

from certunl.base import digest
from certunl.disk import as_json
from certunl.errors import BadInput
from certunl.evaluation import Report
from certunl.folders import RunFolder
from certunl.report import from_json, to_json

__all__ = ["Again", "reports_of"]


def reports_of(facts: Any, place: Path) -> list[Report]:
    """Reports from JSON. Raises: BadInput if `place` holds none that this program wrote."""
    try:
        return [from_json(one) for one in facts]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{place} is damaged ({type(error).__name__}); delete it and make it again") from error


class Again:
    """The reports that an interrupted call of the same verb with the same settings has made, by name.

    They lie in RUN/NAME.json. Those of other settings, or before another request, are not taken.
    """

    def __init__(self, folder: RunFolder, name: str, settings: Any):
        self.folder, self.name = folder, name
        self.identity = digest([as_json(settings), folder.ledger.head], ())
        earlier = folder.read(name, {})
        same = earlier.get("identity") == self.identity
        self.reports: dict[str, list[Report]] = {}
        if same:
            place = folder.path / f"{name}.json"
            self.reports = {key: reports_of(several, place) for key, several in earlier["reports"].items()}

    def put(self, key: str, reports: list[Report]) -> None:
        """Keeps the reports of one part of the work."""
        self.reports[key] = reports
        facts = {key: [to_json(one) for one in several] for key, several in self.reports.items()}
        self.folder.write(self.name, {"identity": self.identity, "reports": facts})

    def done(self) -> None:
        """Forgets them, when the verb has written its own file."""
        (self.folder.path / f"{self.name}.json").unlink(missing_ok=True)
