"""The updates and releases of a run folder."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from certunl import disk
from certunl.certificates.certificate import Release
from certunl.certificates.update import Update
from certunl.errors import BadInput
from certunl.folders._guarantees import certificate_of, guarantee_of
from certunl.folders.ledger import Ledger
from certunl.folders.line import Line
from certunl.folders.parts import Parts
from certunl.training.run import Run

__all__ = ["Releases"]

_SECRET = (
    "arrays",
    "prepared",
    "updates",
    "plan.json",
    "owners.json",
    "account.json",
    "evaluation.json",
    "audits.json",
    "attacked.json",
    "comparison.json",
)
_SECRET += tuple(f"{page}{end}" for page in ("report", "comparison") for end in ("", ".html", ".md"))


@dataclass(frozen=True)
class Releases:
    """The updates (secret) and releases (public) of a run folder.

    Args:
        path: the run folder.
    """

    path: Path

    @property
    def updates(self) -> Parts:
        """The un-noised results, with everything that is known of them."""
        return Parts(self.path / "updates")

    @property
    def published(self) -> Parts:
        """The noised results, as others may read them."""
        return Parts(self.path / "releases", public=True)

    @property
    def ledger(self) -> Ledger:
        """What all releases have spent."""
        return Ledger(self.path / "account.json", self.updates, self.published)

    def line(self, name: str, run: Run, maker: dict[str, Any]) -> "Line":
        """The line `name` after its last request; `maker` holds the "method" and its "settings".

        Raises: BadInput if another maker began the line. Retraining continues any line, and any method one of it.
        """
        earlier, counted = self.updates.names(name), self.ledger.counted()
        own, last, retrained = [part for part in counted if part.rpartition("-")[0] == name], "", False
        for part in earlier:
            params, facts = self.updates.load(part)
            after = facts.get("after", f"{name}-{count - 1}" if (count := int(part.rpartition("-")[2])) > 1 else "")
            if after != last:
                raise BadInput(f"updates/ lacks {after or part}, so the state of its line is unknown; choose a --name")
            before = {key: facts[key] for key in maker}
            if "retrain" not in (before["method"], maker["method"]) and before != disk.as_json(maker):
                raise BadInput(f"the line {name!r} was begun with {before}; give the new one its own --name")
            run, last = run.minus(np.asarray(facts["request"]), params), part
            retrained |= certificate_of(facts).guarantee.restores
        account = self.ledger.account()
        if {*counted} - {*own} or not retrained:  # this line or another still depends on the original training run
            account = replace(account.since_training(), shared=bool({*counted} - {*own}))
        number = 1 + max((int(part.rpartition("-")[2]) for part in own), default=0)
        settings = {"after": last, "counted": tuple(counted), "account": account}
        return Line(releases=self, name=name, maker=maker, run=run, count=number - 1, **settings)

    def load(self) -> dict[str, tuple[np.ndarray, Release]]:
        """name -> (all examples that its line has forgotten so far i32[k], release), for releases still here."""
        releases: dict[str, tuple[np.ndarray, Release]] = {}
        forgotten: dict[str, np.ndarray] = {}
        for name in self.updates.names():
            line, facts = name.rpartition("-")[0], self.updates.facts(name)
            gone = np.union1d(forgotten.get(line, np.zeros(0, np.int32)), facts["request"]).astype(np.int32)
            forgotten[line] = gone
            if name not in self.published:  # moved away to be published
                continue
            update = Update(
                params=self.updates.load(name)[0],
                method=facts["method"],
                guarantee=guarantee_of(facts),
                radius=facts["radius"],
                cost=facts["cost"],
            )
            params, certificate = self.published.load(name)[0], certificate_of(facts)
            releases[name] = gone, Release(params=params, update=update, certificate=certificate)
        return releases

    def forgotten(self, method: str) -> np.ndarray:
        """i32[k]: all examples that any line of `method` has forgotten, wherever its releases are now."""
        facts = map(self.updates.facts, self.updates.names())
        return np.unique([i for part in facts if part["method"] == method for i in part["request"]]).astype(np.int32)

    def certificates(self) -> dict[str, str]:
        """name -> the certificate as it was printed when the release was made."""
        return {name: self.updates.facts(name)["printed"] for name in self.published.names()}

    def makers(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """name -> (the method that made the release, its settings)."""
        facts = {name: self.updates.facts(name) for name in self.published.names()}
        return {name: (part["method"], part["settings"]) for name, part in facts.items()}

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
        facts = {name: self.published.facts(name) for name in self.published.names()}
        if bare := [name for name, part in facts.items() if not part["sigma"] and part["method"] != "retrain"]:
            sentences.append(
                f"{', '.join(bare)} in releases/ carry no noise: they are the un-noised models; do not publish them"
            )
        return sentences

    def newer_than(self, place: Path) -> bool:
        """Whether a release is newer than the file `place`, or there is no such file."""
        times = [(self.published.place / name).stat().st_mtime for name in self.published.names()]
        return not place.exists() or max(times, default=0.0) > place.stat().st_mtime
