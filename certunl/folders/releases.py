"""The updates and releases of a run folder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from certunl.certificates.certificate import Release
from certunl.certificates.update import Update
from certunl.errors import BadInput, Unavailable
from certunl.folders._guarantees import certificate_of, guarantee_of
from certunl.folders.ledger import Ledger
from certunl.folders.order import Entry
from certunl.folders.parts import Parts
from certunl.rows.erasing import erase
from certunl.rows.store import Store

__all__ = ["Releases"]

_SECRET = (
    "arrays",
    "model",
    "prepared",
    "updates",
    "plan.json",
    "owners.json",
    "ledger.sqlite",
    "evaluation.json",
    "audits.json",
    "attacked.json",
    "comparison.json",
    "retraining",
    "evaluating",
    "comparing",
)
_SECRET += tuple(f"{page}{end}" for page in ("report", "comparison") for end in ("", ".html", ".md"))


@dataclass(frozen=True)
class Releases:
    """The updates (secret) and releases (public) of a run folder, and the steps of an answer after its computation.

    What is known of them comes from the ledger. Their arrays are compared with the digests there.

    Args:
        path: the run folder.
        ledger: its ledger.
    """

    path: Path
    ledger: Ledger

    @property
    def updates(self) -> Parts:
        """The un-noised results. Until it is published, a release lies within its update."""
        return Parts(self.path / "updates")

    @property
    def published(self) -> Parts:
        """The noised results, as others may read them."""
        return Parts(self.path / "releases", public=True)

    # --- the steps of an answer

    def applied(self, entries: Sequence[Entry], facts: dict[str, Any]) -> list[Entry]:
        """Counts an update that is on the disk, with the facts that lie beside it."""
        return self.ledger.add(entries, "applied", facts)

    def finished(self, entries: Sequence[Entry], rows: Store | None = None) -> list[Entry]:
        """Publishes the release of applied entries, if that is not done, then erases the rows of the forgotten.

        Args:
            entries: all requests of one release, the one that was asked first at the front.
            rows: an open store of the folder, which need not be opened again.
        """
        first = entries[0]
        if first.state == "applied":
            place = self._publish(first)
            entries = self.ledger.add(entries, "released", {"part": first.part, "place": place})
        ids = np.concatenate([np.zeros(0, np.int32) if entry.ids is None else entry.ids for entry in entries])
        stores = sorted(path for path in (self.path / "prepared").glob("*") if path.is_dir())
        erased = {}
        for store in stores:
            same = rows is not None and Path(rows.place).absolute() == store.absolute()
            try:
                erased[store.name] = erase(rows if rows is not None and same else store, ids)
            except Unavailable as error:
                cure = f"mend that, or remove {store} and prepare again; until then request {first.order.id} is open"
                raise Unavailable(f"rows of the forgotten could not be erased: {error}; {cure}") from error
        return self.ledger.add(entries, "erased", {"rows": erased})

    def _publish(self, entry: Entry) -> str:
        """Moves the release of an entry to its place and says where it is."""
        staged, place = self.updates.place / entry.part / "release", self.published.place / entry.part
        if not staged.exists():  # it was moved by this program, or by its owner
            return f"releases/{entry.part}" if place.exists() else "elsewhere"
        if place.exists() or place.is_symlink():
            raise BadInput(f"{place} is there, and the ledger knows nothing of it; move it away, then try again")
        facts = {"schema": 1, "entry": entry.number, "head": entry.head, **entry.facts["applied"]["public"]}
        self.published.adopt(entry.part, staged, facts, entry.facts["applied"]["release"])
        return f"releases/{entry.part}"

    # --- what is there

    def load(self) -> dict[str, tuple[np.ndarray, Release]]:
        """name -> (all examples that its line has forgotten so far i32[k], release), for what is still here.

        A release that was moved away, and one whose update was purged, is left out.
        """
        releases: dict[str, tuple[np.ndarray, Release]] = {}
        forgotten: dict[str, list[np.ndarray | None]] = {}
        every: dict[str, list[Entry]] = {}
        for entry in self.ledger.entries():
            every.setdefault(entry.part, []).append(entry)
        last = {every[name][0].order.line: name for name in self.ledger.parts()}
        for name in self.ledger.parts():
            line = every[name][0].order.line
            ids = forgotten.setdefault(line, [np.zeros(0, np.int32)])
            ids += [entry.ids for entry in every[name]]
            known = [one for one in ids if one is not None]
            gone = np.unique(np.concatenate(known)) if len(known) == len(ids) else None
            if gone is None and name == last[line]:
                gone = self.ledger.forgotten(line)
            if gone is not None and name in self.published and name in self.updates:
                releases[name] = gone, self.release(name)
        return releases

    def _release(self, name: str, line: str, facts: dict[str, Any]) -> Release:
        update = Update(
            params=self.updates.arrays(name, facts["arrays"]),
            method=facts["method"],
            guarantee=guarantee_of(facts),
            radius=facts["radius"],
            cost=facts["cost"],
        )
        certificate = replace(certificate_of(facts), account=self.ledger.account(line, until=name))
        return Release(params=self.published.arrays(name, facts["release"]), update=update, certificate=certificate)

    def release(self, name: str) -> Release:
        """One release. Raises: BadInput if the ledger does not know it, or its files are gone or damaged."""
        entry = self.ledger.leader(name)
        return self._release(name, entry.order.line, entry.facts["applied"])

    def certificates(self) -> dict[str, str]:
        """name -> the certificate as it was printed when the release was made, for releases still here."""
        return {e.part: e.facts["applied"]["printed"] for e in self.ledger.leaders() if e.part in self.published}

    def makers(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """name -> (the method that made the release, its settings), for releases still here."""
        leaders = [entry for entry in self.ledger.leaders() if entry.part in self.published]
        return {entry.part: (entry.order.method, entry.order.settings) for entry in leaders}

    def warnings(self) -> list[str]:
        """One sentence for each way in which un-noised models may leave the run folder."""
        sentences = []
        parts = [self.path / name for name in _SECRET if (self.path / name).exists()]
        if exposed := [place.name for place in parts if place.stat().st_mode & 0o077]:
            sentences.append(
                f"releases and un-noised models lie in one folder that others may read ({', '.join(exposed)}). Anyone "
                "who has an un-noised model needs no release, and no certificate covers it. Publish releases/ alone, "
                "and close the rest (chmod -R go= on each)"
            )
        facts = [(e.part, e.facts["applied"]["public"]) for e in self.ledger.leaders() if e.part in self.published]
        if bare := [name for name, part in facts if not part["sigma"] and part["method"] != "retrain"]:
            sentences.append(
                f"{', '.join(bare)} in releases/ carry no noise: they are the un-noised models; do not publish them"
            )
        return sentences
