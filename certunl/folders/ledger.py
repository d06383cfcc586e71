"""The account of a run folder: the spending of all its releases, those whose files are gone included."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from certunl import disk
from certunl.certificates.account import Account, together
from certunl.errors import BadInput
from certunl.folders._guarantees import account_of
from certunl.folders.parts import Parts, ordered

__all__ = ["Ledger"]


@dataclass(frozen=True)
class Ledger:
    """RUN/account.json: the account, and the names of the releases that it counts.

    A folder of a version up to 0.1 has none. Its account follows from its updates, which had one for each line.

    Args:
        place: the file.
        updates: the updates of the folder.
        published: its releases.
    """

    place: Path
    updates: Parts
    published: Parts

    def counted(self) -> list[str]:
        """The names of all releases that the account counts, in order of line and number.

        Raises: BadInput if a release is here whose spending is not known.
        """
        counted = self._content()["parts"] if self.place.exists() else self.updates.names()
        if lost := sorted({*self.published.names(), *self.updates.names()} - {*counted}):
            gone = f"{self.place.name} or its update is gone"
            raise BadInput(f"nothing says what {lost[0]} has spent, because {gone}; restore it, or train again")
        return counted

    def account(self) -> Account:
        """The spending of all lines together. A run has one account, whatever the number of its lines."""
        if self.place.exists():
            return account_of(self._content()["account"])
        known: dict[str, Account] = {}
        for part in self.updates.names():
            known[part.rpartition("-")[0]] = account_of(self.updates.facts(part)["certificate"]["account"])
        return together(list(known.values()))

    def add(self, name: str, account: Account) -> None:
        """Counts the release `name`, after which the account is `account`. Call it before the release is written."""
        content = {"account": asdict(account), "parts": ordered([*self.counted(), name])}
        disk.write_json(self.place, content, mode=0o600)

    def _content(self) -> Any:
        return disk.read_json(self.place, "restore it, or train again")
