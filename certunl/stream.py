"""Requests one after another. Each starts from the un-noised state and is released with its own noise."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import optax

from certunl import registry
from certunl.base import Key, Params
from certunl.certificates.account import Account
from certunl.certificates.budget import Budget
from certunl.certificates.calibration import certify
from certunl.certificates.certificate import Release
from certunl.certificates.secret import Secret
from certunl.certificates.update import Unlearner, declared
from certunl.errors import BadInput
from certunl.folders.line import Line
from certunl.folders.order import Order, drawn_id
from certunl.folders.repeating import earlier
from certunl.folders.run import RunFolder
from certunl.requests import parse
from certunl.rows import Statistics, Store
from certunl.rows.staleness import Staleness, measure_staleness
from certunl.training.run import Run

__all__ = ["Stream", "method_of"]


def method_of(name: str, settings: dict[str, Any]) -> Unlearner:
    """The method of a name, with its settings. Raises: BadInput for a method that is not registered: what a folder
    says is not imported."""
    if name not in registry.names("methods"):
        raise BadInput(f"its method {name} is registered nowhere")
    if ":" in "".join(_texts(settings)):
        raise BadInput(f"the settings of its method {name} name an object of a module")
    return registry.build("methods", name, **settings)


def _texts(settings: Any) -> list[str]:
    """All texts in nested settings."""
    if isinstance(settings, dict):
        return [text for value in settings.values() for text in _texts(value)]
    return [settings] if isinstance(settings, str) else []


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A model that serves a sequence of requests.

    The noised releases never enter the state. The bound of Newton holds again for every request, because the method
    projects the state back onto the ball.

    Args:
        run: the current state, un-noised and secret.
        method: the method that forgets.
        prepared: the result of its preparation, for example rows.
        account: the privacy that the releases have spent.
        staleness: the measured staleness of the rows; None if it was not measured.
        line: the line of a run folder that has its requests (`open`); None for a stream in memory.
        shift: the sum of all updates since the rows were gathered or their staleness was last measured, a pytree like
            params and as secret; None for nothing.
    """

    run: Run
    method: Unlearner
    prepared: Any = None
    account: Account = field(default_factory=Account)
    staleness: Staleness | None = None
    shift: Params = None
    line: Line | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls, folder: Any, method: str = "hessian_free", settings: dict[str, Any] | None = None, *, name: str = ""
    ) -> "Stream":
        """The stream of one line of requests of a run folder, after all its requests.

            stream = cu.Stream.open("runs/m", "newton", {"operator": "ggn"})
            release, stream = stream.forget([4, 8], budget, key, id="ORDER-17")

        It has the ledger of the folder, so `forget` and the command line may take turns, and requests have ids. The new
        state is on the disk before the rows of the forgotten are erased. An interrupted request is finished first.

        Args:
            folder: the run folder.
            method: the name of the method.
            settings: its settings. Default: none.
            name: the line of requests. Default: the name of the method.

        Raises: BadInput if another certunl works on the folder, or it is damaged; the errors of `RunFolder.line`.
        """
        place, settings = RunFolder(Path(folder)), settings or {}
        with place.locked(build=method_of):
            return cls._of(place.line(name or method, method, settings), method_of(method, settings))

    @classmethod
    def _of(cls, line: Line, method: Unlearner) -> "Stream":
        rows = line.folder.rows(line.maker["method"], method)
        return cls(run=line.run, method=method, prepared=rows, account=line.account, line=line)

    @property
    def moved(self) -> float:
        """‖shift‖, how far requests have moved the parameters since the rows were gathered or last `measured`."""
        return 0.0 if self.shift is None else float(optax.tree.norm(self.shift))

    @property
    def stale(self) -> bool:
        """Whether the expected second-order error exceeds the tolerance of `staleness`. If so, use `measured` again, or
        retrain and prepare again."""
        return self.staleness is not None and self.moved > self.staleness.budget

    def forget(
        self,
        request: Any,
        budget: Budget,
        key: Key | Secret,
        noise_key: Key | Secret | None = None,
        *,
        trivial: bool = False,
        id: str | None = None,
    ) -> tuple[Release, "Stream"]:
        """(the release without `request`, the stream after it).

        Prepared rows that do not cover the request are not used for it. The rows of the forgotten units are dropped. A
        store erases them, so the stream before the request loses them too. Logs a warning if the remaining rows are
        stale.

        Args:
            request: the ids to forget.
            budget: what the release may reveal.
            key: the randomness of the method; `secret_key()` if the steps of the method carry the noise.
            noise_key: `secret_key()`, for the noise of the release. Default: a new one.
            trivial: as in `certify`.
            id: the name of the request in the ledger of a run folder. The same id again gives the release again, as
                long as its files are here. Default: a new one.

        Raises: BadInput if the release would exceed the total of the account; the stream then stays as it was.
        """
        if self.line is not None:
            return self._recorded(request, budget, key, noise_key, trivial, id)
        if id is not None:
            raise BadInput("this stream has no ledger, so its requests have no id; open one with Stream.open(folder)")
        ids, prepared = self.run.check(request), self.prepared
        method = declared(self.method)
        rows = prepared if isinstance(prepared, Statistics | Store) else None
        usable = prepared if rows is None or rows.covers(ids) else None
        update = method.forget(self.run, usable, ids, key)
        release = certify(update, budget, noise_key, trivial=trivial, account=self.account)
        account = release.certificate.account
        if release.certificate.guarantee.restores:
            account = account.restarted()
        run = self.run.minus(ids, update)
        if rows is not None:
            prepared = rows.drop(np.unique(rows.owners[ids]))
        return release, self._after(run, prepared, account)

    def _after(self, run: Run, prepared: Any, account: Account, line: Line | None = None) -> "Stream":
        """The stream with the state after a request. Warns if the remaining rows are stale."""
        shift = optax.tree.sub(run.params, self.run.params)
        if self.shift is not None:
            shift = optax.tree.add(self.shift, shift)
        after = replace(self, run=run, prepared=prepared, account=account, shift=shift, line=line)
        if after.staleness is not None and after.stale:
            logging.getLogger("certunl").warning(
                "the statistics are stale: the parameters have moved %.4g since they were gathered, and the expected "
                "error is %.0f%% of doing nothing (tolerated: %.0f%%); measure it again, or retrain and prepare again",
                after.moved,
                100 * after.staleness.share(after.moved),
                100 * after.staleness.tolerance,
            )
        return after

    def _recorded(
        self, request: Any, budget: Budget, key: Any, noise_key: Any, trivial: bool, id: str | None
    ) -> tuple[Release, "Stream"]:
        """`forget` on a run folder."""
        line = self.line
        assert line is not None
        if noise_key is not None:
            raise BadInput("a run folder draws the noise of a release itself; leave noise_key out")
        place, (method, settings) = line.folder, (line.maker["method"], line.maker["settings"])
        with place.locked(build=method_of):
            line = place.line(line.name, method, settings)
            ids = np.unique(np.atleast_1d(np.asarray(request)))
            order = Order(
                id=drawn_id() if id is None else id,
                line=line.name,
                method=method,
                settings=settings,
                budget=budget,
                words="ids:" + ",".join(map(str, ids.tolist())),
                trivial=trivial,
            )
            entry = None if id is None else earlier(place, order, parse)
            if entry is None:
                order = order if isinstance(key, Secret) else order.with_key(key)
                [entry] = line.ask([(order, line.run.check(ids))])
            if entry.state == "asked":
                [entry], line = line.answer([entry], self.method, place.rows(method, self.method))
            release = line.release if line.release is not None else place.releases.release(entry.part)
            rows = place.rows(method, self.method)
            return release, self._after(line.run, rows, line.account, replace(line, release=None))

    def repair(self, key: Key, **settings: Any) -> "Stream":
        """The stream after some more epochs of training on the retained examples (see `repair` of the method).

        The rows are updated along this training. Nothing is released, so no privacy is spent. `shift` stays until the
        staleness is `measured`.

        Raises: BadInput if the method has no repair, or nothing is prepared.
        """
        if self.line is not None:
            raise BadInput("a run folder keeps the rows of its own training, so they are not repaired; retrain instead")
        if self.prepared is None:
            raise BadInput("there are no prepared rows to repair; use HessianFree and give its rows as prepared")
        run, prepared = declared(self.method).repair(self.run, self.prepared, key, **settings)
        return replace(self, run=run, prepared=prepared)

    def measured(self, key: Key, **settings: Any) -> "Stream":
        """The stream with the staleness of its current rows (see `measure_staleness`) and no `shift`."""
        staleness = measure_staleness(self.run, self.method, self.prepared, key, **settings)
        return replace(self, staleness=staleness, shift=None)
