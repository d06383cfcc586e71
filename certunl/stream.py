"""Requests one after another: each from the un-noised state, each released with its own noise."""

import logging
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import optax

from certunl.base import Key, Params
from certunl.certificates.budget import Account, Budget
from certunl.certificates.calibration import certify
from certunl.certificates.certificate import Release
from certunl.certificates.update import Unlearner, declared
from certunl.errors import BadInput
from certunl.rows import Statistics, Store
from certunl.rows.staleness import Staleness, measure_staleness
from certunl.training.run import Run

__all__ = ["Stream"]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A model that goes on forgetting: `run` (un-noised, secret), the `method` with what it `prepared`, the `account`
    of what its releases have spent, and, where it was measured, the `staleness` of what was prepared.

    Newton's bound holds again for every request because its state is projected back onto the ball; the noised copies
    never enter the state. `shift` is what requests have added to the parameters since the rows were gathered, or their
    staleness was last measured (default: nothing); a pytree like params, as secret as they are.
    """

    run: Run
    method: Unlearner
    prepared: Any = None
    account: Account = field(default_factory=Account)
    staleness: Staleness | None = None
    shift: Params = None

    @property
    def moved(self) -> float:
        """How far the requests have moved the parameters since the rows were gathered, or `measured`: ‖shift‖."""
        return 0.0 if self.shift is None else float(optax.tree.norm(self.shift))

    @property
    def stale(self) -> bool:
        """Whether the expected second-order error exceeds what `staleness` tolerates: time to have it `measured` again,
        or to retrain and prepare anew."""
        return self.staleness is not None and self.moved > self.staleness.budget

    def forget(
        self, request: Any, budget: Budget, key: Key, noise_key: Key, *, trivial: bool = False
    ) -> tuple[Release, "Stream"]:
        """(the release, the stream after it); `key` is the method's (as secret as `noise_key` where its own steps carry
        the noise), `noise_key` a secret one. A request that what was prepared does not cover is forgotten without it.
        Rows of those who are asked for are dropped, in a store erased (for the stream before as well). Warns (logging)
        when what is left is stale.

        Raises: BadInput where the release would exceed the account's total; the stream is left as it was.
        """
        ids, prepared = self.run.check(request), self.prepared
        method = declared(self.method)
        rows = prepared if isinstance(prepared, Statistics | Store) else None
        usable = prepared if rows is None or rows.covers(ids) else None
        update = method.forget(self.run, usable, ids, key)
        release = certify(update, budget, noise_key, trivial=trivial, account=self.account)
        run, shift = self.run.minus(ids, update.params), optax.tree.sub(update.params, self.run.params)
        if self.shift is not None:
            shift = optax.tree.add(self.shift, shift)
        if rows is not None:
            prepared = rows.drop(np.unique(rows.owners[ids]))
        after = replace(self, run=run, prepared=prepared, account=release.certificate.account, shift=shift)
        if after.staleness is not None and after.stale:
            logging.getLogger("certunl").warning(
                "the statistics are stale: the parameters have moved %.4g since they were gathered, where the expected "
                "error is %.0f%% of doing nothing (tolerated: %.0f%%); measure it again, or retrain and prepare anew",
                after.moved,
                100 * after.staleness.share(after.moved),
                100 * after.staleness.tolerance,
            )
        return release, after

    def repair(self, key: Key, **settings: Any) -> "Stream":
        """The stream trained on for some epochs on who is left, what was prepared carried on along it: see the method's
        `repair`. Nothing is released, so nothing is spent. What requests have shifted counts until it is `measured`.

        Raises: BadInput where the method has no repair, or nothing is prepared.
        """
        if self.prepared is None:
            raise BadInput("only a method with rows of its own can be repaired: HessianFree, with what it prepared")
        run, prepared = declared(self.method).repair(self.run, self.prepared, key, **settings)
        return replace(self, run=run, prepared=prepared)

    def measured(self, key: Key, **settings: Any) -> "Stream":
        """The stream with the staleness of its rows measured as they are now (see `measure_staleness`), counted from
        here."""
        staleness = measure_staleness(self.run, self.method, self.prepared, key, **settings)
        return replace(self, staleness=staleness, shift=None)
