"""A line of requests in a run folder: each request starts from the un-noised state that the one before it left."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from certunl.certificates.account import Account
from certunl.certificates.certificate import Release
from certunl.errors import BadInput
from certunl.folders._guarantees import noted, published
from certunl.training.run import Run

if TYPE_CHECKING:
    from certunl.folders.releases import Releases

__all__ = ["Line"]


@dataclass(frozen=True)
class Line:
    """One line of requests, ready for its next request.

    Args:
        releases: where its results are written.
        name: its name, the first part of the names of its releases.
        maker: the "method" and the "settings" that answer its requests.
        run: the run after all its requests.
        count: the number of its requests so far.
        after: the name of its last update that is there; empty if there is none.
        counted: the names of all releases of the folder that its account counts.
        account: the privacy budget that all lines of the folder spent.
    """

    releases: "Releases"
    name: str
    maker: dict[str, Any]
    run: Run
    count: int
    after: str
    counted: tuple[str, ...]
    account: Account

    def save(self, release: Release, request: np.ndarray) -> str:
        """Writes the account (secret), the update (secret), then the release (public). Returns their name, such as
        "newton-2".

        A crash in between leaves a release that is counted and not there.
        Raises: BadInput if another release was written meanwhile, or the certificate does not count the earlier ones.
        """
        name, update, certificate = f"{self.name}-{self.count + 1}", release.update, release.certificate
        facts = {
            "method": update.method,
            "radius": update.radius,
            "cost": update.cost,
            "guarantee": noted(update.guarantee),
            "request": request,
            "after": self.after,
            "certificate": noted(certificate),
            "printed": str(certificate),
        }
        guarantee, account = certificate.guarantee, certificate.account
        if tuple(self.releases.ledger.counted()) != self.counted:
            raise BadInput("another release was written to this folder in the meantime; take the line again")
        if not account.extends(self.account):
            raise BadInput("the certificate does not count the earlier releases; certify with account=line.account")
        if guarantee.restores:
            account = account.restarted()
        self.releases.ledger.add(name, account)  # first, so that a release which a crash leaves behind is counted
        self.releases.updates.save(name, update.params, facts | self.maker)
        self.releases.published.save(name, release.params, published(certificate, update.guarantee))
        return name
