"""What one release spent, and the account of many."""

from collections.abc import Iterable
from dataclasses import dataclass

from certunl.certificates.account import Account
from certunl.certificates.budget import Budget, Charge, Common
from certunl.certificates.certificate import Certificate

__all__ = ["Spent", "account_of"]


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What one release spent.

    Args:
        ratios: as in `Account`; empty for an exact retraining.
        pairs: as in `Account`.
        failures: as in `Account`.
        common: as in `Account`.
        secret: the digest of the secret that drew its noise; empty without noise.
        restores: it is an exact retraining with nothing unchecked.
        from_training: it depends on the original training run.
        total: the budget of all releases of the folder; None if there is none.
    """

    ratios: tuple[float, ...] = ()
    pairs: tuple[tuple[float, float], ...] = ()
    failures: float = 0.0
    common: tuple[Common, ...] = ()
    secret: str = ""
    restores: bool = False
    from_training: bool = False
    total: Budget | None = None

    @classmethod
    def by(cls, certificate: Certificate, earlier: Account) -> "Spent":
        """The spending of a release, whose certificate counts it after the account `earlier`."""
        guarantee, account = certificate.guarantee, certificate.account
        claim = guarantee.claim(certificate.budget, certificate.ceiling)
        more = account.secrets[len(earlier.secrets) :]
        return cls(
            **(Charge() if guarantee.restores else claim.charge)._asdict(),
            secret=more[0] if more else "",
            restores=guarantee.restores,
            from_training=guarantee.from_training,
            total=account.total,
        )


def account_of(spent: Iterable[tuple[str, Spent]], line: str) -> Account:
    """The account of all releases of a folder, as the next release of `line` must count it.

    An exact retraining begins a new account where no other line depends on the original training run. A release of a
    line that was not retrained counts everything since training.

    Args:
        spent: (line, spending) of every release, in the order in which they were made.
        line: the line that goes on.
    """
    since: list[list[Spent]] = [[]]  # one list for each exact retraining that began a new account, and the first
    secrets: list[str] = []
    lines: set[str] = set()
    retrained: set[str] = set()
    total = None

    def join() -> None:
        if len(since) > 1:
            since[:] = [[one for every in since for one in every]]

    def turn(name: str) -> bool:
        """Whether other lines have releases. Everything counts again if so, or if the line was never retrained."""
        shared = bool(lines - {name})
        if shared or name not in retrained:
            join()
        return shared

    for name, one in spent:
        shared = turn(name)
        if one.from_training and not one.restores:
            join()
        if not one.restores:
            since[-1].append(one)
        elif not shared and since[-1]:
            since.append([])
        lines.add(name)
        secrets += [one.secret] * bool(one.secret)
        retrained |= {name} if one.restores else set()
        total = one.total or total
    shared, account = turn(line), None
    for every in since:
        account = Account(
            total=total,
            ratios=tuple(ratio for one in every for ratio in one.ratios),
            pairs=tuple(pair for one in every for pair in one.pairs),
            failures=sum((one.failures for one in every), 0.0),
            common=tuple(part for one in every for part in one.common),
            before=account,
            secrets=tuple(secrets),
            shared=shared,
        )
    assert account is not None  # there is always a first list
    return account
