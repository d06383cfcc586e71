"""A line of requests in a run folder: each request starts from the un-noised state that the one before it left."""

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from certunl import disk
from certunl.base import digest, nbytes
from certunl.certificates.account import Account
from certunl.certificates.calibration import certify
from certunl.certificates.certificate import Release
from certunl.certificates.secret import secret_key
from certunl.certificates.update import Unlearner, Update, declared
from certunl.errors import BadInput, Diverged, Unavailable
from certunl.folders._guarantees import guarantee_of, noted, published
from certunl.folders._writing import RETRAINING
from certunl.folders.order import Entry, Order
from certunl.folders.parts import RESTORE, number_of
from certunl.folders.resuming import Checkpoints
from certunl.folders.spending import Spent
from certunl.rows.store import Store
from certunl.training.run import Run
from certunl.training.states import States

if TYPE_CHECKING:
    from certunl.folders.run import RunFolder

__all__ = ["Line", "begin"]


@dataclass(frozen=True)
class Line:
    """One line of requests, ready for its next request.

        with folder.locked():
            line = folder.line("newton", method="newton", settings={})
            entries = line.ask([(order, ids)])
            entries, line = line.answer(entries, method, folder.rows("newton", method))

    Args:
        folder: the run folder, which must stay locked.
        name: its name, the first part of the names of its releases.
        maker: the "method" and the "settings" that answer its requests.
        run: the run after all its requests.
        count: the largest number of its releases so far.
        after: the name of its last update; empty if there is none.
        account: what all releases of the folder spent.
        latest: the number of the last event that it knows of.
        release: the release of the last `answer`; None before.
    """

    folder: "RunFolder"
    name: str
    maker: dict[str, Any]
    run: Run
    count: int
    after: str
    account: Account
    latest: int
    release: Release | None = None

    def ask(self, orders: Sequence[tuple[Order, np.ndarray]], *, nameless: bool = False) -> list[Entry]:
        """Records requests. From then on they are promised: whatever happens, a later verb answers them.

        Args:
            orders: each with its examples.
            nameless: as in `Ledger.ask`.

        Raises: BadInput if there is no room on the disk for the answer; nothing is recorded then.
        """
        states = 0 if self.run.states is None else nbytes(self.run.states.parts)
        disk.check_room(self.folder.path, 4 * nbytes(self.run.params) + states + 2**20)
        return self.folder.ledger.ask(orders, nameless=nameless)

    def answer(
        self, entries: Sequence[Entry], method: Unlearner, rows: Store | None = None
    ) -> tuple[list[Entry], "Line"]:
        """(the entries after one update and one release for all of them, the line after it).

        If the method or the budget refuses several together, each is answered alone.

        Args:
            entries: what `ask` returned.
            method: the method of the line, with its settings.
            rows: its stored rows. They are used if they cover the request. Default: none.

        Raises: Unavailable if the machine or a damaged file is at fault; the request then stays asked. BadInput or
        Diverged if a single one is refused; the ledger then has it as refused.
        """
        order, ids = entries[0].order, _joint(entries)
        prepared = rows if rows is not None and rows.covers(ids) else None
        states = self.folder.path / RETRAINING / str(entries[0].number)
        method = declared(method).resumable(Checkpoints(states))
        try:
            update = method.forget(self.run, prepared, ids, secret_key() if method.own_noise else order.jax_key)
            account = self.account.limited(order.total)
            release = certify(update, order.budget, trivial=order.trivial, account=account)
        except Unavailable:  # the promise stands
            raise
        except (BadInput, Diverged) as error:
            if len(entries) > 1:
                _clear(states)
                return self._answer_each(entries, method, rows)
            _clear(states)
            self.folder.ledger.add(entries, "refused", {"reason": str(error)})
            raise
        entries, line = self.save(entries, release, rows)
        _clear(states)
        return entries, line

    def _answer_each(
        self, entries: Sequence[Entry], method: Unlearner, rows: Store | None
    ) -> tuple[list[Entry], "Line"]:
        line, done = self, []
        for entry in entries:
            try:
                answered, line = line.answer([entry], method, rows)
            except (BadInput, Diverged):
                answered = [self.folder.ledger.entry(entry.number)]
                if answered[0].state != "refused":
                    raise
            done += answered
        return done, line

    def save(self, entries: Sequence[Entry], release: Release, rows: Store | None = None) -> tuple[list[Entry], "Line"]:
        """Writes the update (secret) and the release, counts it in the ledger, publishes it, and erases the rows of the
        forgotten, in this order. A later verb finishes what a crash interrupts.

        Args:
            entries: what `ask` returned.
            release: the release without the examples of all of them, certified with `account=line.account`.
            rows: the open store of the method, if there is one.

        Raises: BadInput if another release was made meanwhile, or the certificate does not count the earlier ones.
        """
        if self.folder.ledger.latest() != self.latest:
            raise BadInput("another release was written to this folder in the meantime; take the line again")
        certificate, update = release.certificate, release.update
        if not certificate.account.extends(self.account):
            raise BadInput("the certificate does not count the earlier releases; certify with account=line.account")
        name, ids = f"{self.name}-{self.count + 1}", _joint(entries)
        facts = {
            "entries": [entry.number for entry in entries],
            "after": self.after,
            "method": update.method,
            "radius": update.radius,
            "cost": update.cost,
            "guarantee": noted(update.guarantee),
            "certificate": noted(replace(certificate, account=Account())),  # the ledger has every other spending too
            "printed": str(certificate),
            "public": published(certificate, update.guarantee),
            "spent": asdict(Spent.by(certificate, self.account)),
            "before": digest((), self.run.params),
            "params": digest((), update.params),
            **({"sealed": {"end": update.end, "seal": update.seal}} if update.end or update.seal else {}),
        }
        states = None if update.states is None else update.states.arrays()
        facts = self.folder.releases.updates.save(name, update.params, facts, release.params, states)
        entries = self.folder.releases.applied(entries, facts)
        entries = self.folder.releases.finished(entries, rows)
        run = self.run.minus(ids, update)
        after = {"run": run, "count": self.count + 1, "after": name}
        account = certificate.account.restarted() if certificate.guarantee.restores else certificate.account
        return entries, replace(self, **after, account=account, latest=self.folder.ledger.latest(), release=release)


def _clear(states: Path) -> None:
    """Removes the state of a retraining, if one was kept, and the folder of all if it was the last."""
    if states.exists():
        disk.remove(states)
        with contextlib.suppress(OSError):
            states.parent.rmdir()


def _joint(entries: Sequence[Entry]) -> np.ndarray:
    """i32[k]: the examples of all of `entries`."""
    return np.unique(np.concatenate([np.asarray(entry.ids, np.int32) for entry in entries]))


def _retrains(maker: dict[str, Any]) -> bool:
    """Whether a method is retraining, which needs nothing of the trained model and so continues any line."""
    again = maker["method"] == "noisy_retrain" and maker["settings"].get("rewind_to") == 0
    return maker["method"] == "retrain" or again


def begin(folder: "RunFolder", name: str, maker: dict[str, Any]) -> Line:
    """The line `name` of a run folder, after all its requests. Raises: as `RunFolder.line`."""
    ledger, updates = folder.ledger, folder.releases.updates
    makers = ledger.makers(name)
    for earlier in makers.values():
        if not (_retrains(earlier) or _retrains(maker)) and earlier != maker:
            raise BadInput(f"the line {name!r} was begun with {earlier}; give the new one its own --name")
    parts = [*makers]
    if not parts:
        run = folder.left if folder.purged and _retrains(maker) else folder.run
    else:
        if not (updates.place / parts[-1]).exists():
            raise BadInput(f"updates/{parts[-1]} is gone, so the state of its line is unknown; {RESTORE}")
        facts = ledger.leader(parts[-1]).facts["applied"]
        params = updates.arrays(parts[-1], facts["arrays"])
        every = folder.purged and _retrains(maker)  # only what is left may be trained on
        run = folder.untrained
        if (run.recipe.noise or run.provenance.states) and not folder.purged:
            run = replace(run, noise=folder.run.noise, states=folder.run.states)
        states = States.of(updates.states(parts[-1], facts["states"])) if "states" in facts else None
        sealed = facts.get("sealed", {})
        last = Update(params=params, method=facts["method"], guarantee=guarantee_of(facts), states=states, **sealed)
        run = run.minus(ledger.forgotten(None if every else name), last)
    return Line(
        folder=folder,
        name=name,
        maker=maker,
        run=run,
        count=max(map(number_of, parts), default=0),
        after=parts[-1] if parts else "",
        account=ledger.account(name),
        latest=ledger.latest(),
    )
