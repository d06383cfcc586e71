"""The account of the releases of a run. All arithmetic is float64 on the host."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from certunl.certificates.budget import UNPROVED, Budget, Charge, Common, counted, joint
from certunl.certificates.gaussian import read_epsilon, zcdp_epsilon
from certunl.errors import BadInput

__all__ = ["Account", "together"]


@dataclass(frozen=True, kw_only=True)
class Account:
    """The releases of a run since training or since the last exact retraining, and their spending.

    Gaussian mechanisms of ratios r_i are together exactly as distinguishable as one of ratio √(sum r_i²). That holds
    for the joint releases against the joint references. The (epsilon, delta) of other releases are added, but for
    those of one training as it is, which the last of them covers (`budget.counted`).

    An exact retraining spends nothing. Whoever goes on from the retrained model begins a new account (`restarted`):
    releases made from it do not depend on the examples forgotten before. A release that depends on the original
    training run still does, and `charge` counts it with all earlier releases.
    Source: Dong, Roth, Su 2022, corollary 3.3 (Gaussian composition).

    Args:
        total: the budget of all of them, an epsilon and a delta. A release that would exceed it is refused.
        ratios: one for each Gaussian release: the proved distance divided by the noise's standard deviation; inf for a
            release without a theorem.
        pairs: the (epsilon, delta) of each release whose noise is no Gaussian.
        failures: the sum of the solvers' failure probabilities. It counts toward the total's delta.
        common: the noise of one training that releases have in common. It counts once for all of them (`joint`).
        before: the account that ended with the last exact retraining; None if there was none.
        secrets: digests of the secrets that drew the noise of releases. None may be used again.
        shared: the releases belong to several lines of one run. An exact retraining in one of them then spends nothing,
            and begins no new account, because the other lines still depend on the original training run.
    """

    total: Budget | None = None
    ratios: tuple[float, ...] = ()
    pairs: tuple[tuple[float, float], ...] = ()
    failures: float = 0.0
    common: tuple[Common, ...] = ()
    before: "Account | None" = None
    secrets: tuple[str, ...] = ()
    shared: bool = False

    def __post_init__(self) -> None:
        if self.total is not None and (self.total.epsilon is None or self.total.sigma or self.total.distance):
            raise BadInput("a total budget must be an epsilon and a delta; leave out distance and sigma")

    @property
    def releases(self) -> int:
        """The number of releases."""
        return len(self.ratios) + len(self.pairs)

    @property
    def least_delta(self) -> float:
        """The least delta of a statement about all releases: the sum of `failures` and the pairs' deltas."""
        return self.failures + sum(delta for _, delta in counted(self.pairs, self.common))

    @property
    def mu(self) -> float | None:
        """√(sum r_i²), the mu of all releases together in Gaussian differential privacy.

        It is 0 without a release, and None if a release has no theorem, has noise that is no Gaussian, or has a
        statement that may fail. Source: Dong, Roth, Su 2022, corollary 3.3.

        >>> Account(ratios=(3.0, 4.0)).mu
        5.0
        """
        ratio = self._ratio()
        return None if self.pairs or self.failures or math.isinf(ratio) else ratio

    def _ratio(self) -> float:
        return math.hypot(joint(self.common), *self.ratios)

    def limited(self, total: Budget | None) -> "Account":
        """The account with the budget `total`; None keeps its own. Raises: BadInput if it already has another one."""
        if total is not None and self.total is not None and total != self.total:
            raise BadInput(
                f"this line already has a total budget of epsilon {self.total.epsilon:g} at delta "
                f"{self.total.delta:g}; leave out the new one, got {total}"
            )
        return replace(self, total=total or self.total)

    def used(self, digest: str) -> "Account":
        """The account with one more secret. Raises: BadInput if a release that it counts used the same one."""
        if digest in self.secrets:
            raise BadInput(
                "this key drew the noise of an earlier release: two releases with the same noise give away the "
                "un-noised difference; draw another with secret_key()"
            )
        return replace(self, secrets=(*self.secrets, digest))

    def epsilon(self, delta: float) -> float:
        """The composed epsilon at `delta`, which includes the failures; inf if there is none."""
        return self._composed(delta, lambda ratio, left: read_epsilon(1 / ratio, left))

    def zcdp_epsilon(self, delta: float) -> float:
        """A check of `epsilon` by zero-concentrated differential privacy. It is never below `epsilon`."""
        return self._composed(delta, zcdp_epsilon)

    def _composed(self, delta: float, gaussian: Callable[[float, float], float]) -> float:
        """The pairs' epsilons plus gaussian(joint ratio, the delta that failures and pairs leave)."""
        ratio, added = self._ratio(), sum(epsilon for epsilon, _ in counted(self.pairs, self.common))
        left = delta - self.least_delta
        if math.isinf(ratio) or left < 0 or (left == 0 and (ratio or not self.pairs)):
            return math.inf
        return added + (gaussian(ratio, left) if ratio else 0.0)

    def restarted(self) -> "Account":
        """The account of a run whose parameters are now those of an exact retraining, with nothing unchecked.

        `Stream` and run folders call it, because they put the retrained parameters into the run. It is the account
        itself if other lines of the run still depend on the original training run.
        """
        nothing = self.before is not None and not self.releases  # a second retraining begins nothing newer
        return self if self.shared or nothing else Account(total=self.total, before=self, secrets=self.secrets)

    def charge(self, charge: Charge, *, exact: bool = False, from_training: bool = False) -> "Account":
        """The account after one more release.

        Args:
            charge: the spending of the release.
            exact: the release is an exact retraining with nothing unchecked. It spends nothing.
            from_training: the release depends on the original training run. It is counted with every release since,
                even if the model was retrained in between.

        Raises: BadInput if the total would be exceeded. The message says how much is spent and whether an exact
        retraining restores it.
        """
        if exact:
            return self
        if from_training and self.before is not None:
            return self.since_training().charge(charge, from_training=True)
        after = self._with(charge)
        if self.total is None:
            return after
        assert self.total.epsilon is not None  # __post_init__ checks it
        if (reached := after.epsilon(self.total.delta)) > self.total.epsilon * (1 + 1e-9):
            spent = self.epsilon(self.total.delta)
            reason = f"the line would reach epsilon {reached:.4g}"
            if charge.ratios == UNPROVED.ratios:
                reason = "it has no proved distance"
            restored = f"and restores the {spent:.4g}, unless the data or the model leave something unchecked"
            if self.shared:
                restored = "but restores nothing, because other lines still depend on the original training run"
            elif from_training:
                restored = "but restores nothing to a method that depends on the original training run"
            cure = f"exact retraining on the retained examples (method retrain, distance 0) spends nothing, {restored}"
            if any(not part.own for part in charge.common):
                cure = "train the features' extractor and the head anew on the retained examples"
            raise BadInput(
                f"this release would exceed the total budget of epsilon {self.total.epsilon:g} at delta "
                f"{self.total.delta:g}, because {reason}, and {spent:.4g} is spent already; {cure}"
            )
        return after

    def since_training(self) -> "Account":
        """The account of all releases since the original training, whatever was retrained exactly in between."""
        if self.before is None:
            return self
        all_ = self.before.since_training()._with(Charge(self.ratios, self.pairs, self.failures, self.common))
        return replace(all_, total=self.total, secrets=self.secrets, shared=self.shared)

    def extends(self, earlier: "Account") -> bool:
        """Whether this account counts all releases and secrets of `earlier`, and perhaps more."""
        now, then = self.since_training(), earlier.since_training()
        pairs = (
            (now.ratios, then.ratios),
            (now.pairs, then.pairs),
            (now.secrets, then.secrets),
            (now.common, then.common),
        )
        return all(a[: len(b)] == b for a, b in pairs) and now.failures >= then.failures

    def _with(self, charge: Charge) -> "Account":
        """The account with one more release, whatever its total."""
        return replace(
            self,
            ratios=(*self.ratios, *charge.ratios),
            pairs=(*self.pairs, *charge.pairs),
            failures=self.failures + charge.failures,
            common=(*self.common, *charge.common),
        )


def together(accounts: list[Account]) -> Account:
    """One account of the releases that several counted. Their totals must be equal, or the smallest epsilon holds."""
    every = [account for account in accounts if account.releases or account.before or account.total]
    if len(every) <= 1:
        return every[0] if every else Account()
    first = every[0].since_training()
    for other in (account.since_training() for account in every[1:]):
        first = first._with(Charge(other.ratios, other.pairs, other.failures, other.common))
        secrets = (*first.secrets, *other.secrets)
        totals = [account.total for account in (first, other) if account.total is not None]
        first = replace(first, secrets=secrets, total=min(totals, key=lambda total: total.epsilon or 0, default=None))
    return replace(first, shared=True)
