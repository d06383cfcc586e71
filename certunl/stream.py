"""Requests one after another: each from the un-noised state, each released with its own noise."""

from dataclasses import dataclass, field, replace
from typing import Any

from certunl.budget import Account, Budget
from certunl.calibration import certify
from certunl.certificate import Release
from certunl.training import Run
from certunl.typing import Key, Unlearner

__all__ = ["Stream"]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A model that goes on forgetting: `run` (un-noised, secret), the `method` with what it `prepared`, and the
    `account` of what its releases have spent.

    Newton's bound holds again for every request because its state is projected back onto the ball; the noised copies
    never enter the state.
    """

    run: Run
    method: Unlearner
    prepared: Any = None
    account: Account = field(default_factory=Account)

    def forget(
        self, request: Any, budget: Budget, key: Key, noise_key: Key, *, trivial: bool = False
    ) -> tuple[Release, "Stream"]:
        """(the release, the stream after it); `key` is the method's, `noise_key` a secret one. Rows that were prepared
        for the request are dropped, those in a store erased.

        Raises: BadInput where the release would exceed the account's total; the stream is left as it was.
        """
        update = self.method.forget(self.run, self.prepared, request, key)
        release = certify(update, budget, noise_key, trivial=trivial, account=self.account)
        run, prepared = self.run.minus(request, update.params), self.prepared
        if prepared is not None and hasattr(prepared, "without"):
            prepared = prepared.without(request)
        return release, replace(self, run=run, prepared=prepared, account=release.certificate.account)
