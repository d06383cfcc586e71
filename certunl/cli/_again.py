"""Reports of a long verb, kept while it works, so that it goes on after a kill."""

from typing import Any

from certunl.base import digest
from certunl.disk import as_json
from certunl.evaluation import Report
from certunl.folders import RunFolder
from certunl.report import from_json, to_json

__all__ = ["Again"]


class Again:
    """The reports that an interrupted call of the same verb with the same settings has made, by name.

    They lie in RUN/NAME.json. Those of other settings, or before another request, are not taken.
    """

    def __init__(self, folder: RunFolder, name: str, settings: Any):
        self.folder, self.name = folder, name
        self.identity = digest([as_json(settings), folder.ledger.head], ())
        kept = folder.read(name, {})
        same = kept.get("identity") == self.identity
        self.reports: dict[str, list[Report]] = {}
        if same:
            self.reports = {key: [from_json(one) for one in several] for key, several in kept["reports"].items()}

    def put(self, key: str, reports: list[Report]) -> None:
        """Keeps the reports of one part of the work."""
        self.reports[key] = reports
        facts = {key: [to_json(one) for one in several] for key, several in self.reports.items()}
        self.folder.write(self.name, {"identity": self.identity, "reports": facts})

    def done(self) -> None:
        """Forgets them, when the verb has written its own file."""
        (self.folder.path / f"{self.name}.json").unlink(missing_ok=True)
