"""A release and its certificate."""

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flax import struct

from certunl.base import Params, sized
from certunl.certificates._moved import moved
from certunl.certificates.account import Account
from certunl.certificates.budget import Budget
from certunl.certificates.guarantee import Guarantee
from certunl.certificates.printing import printed
from certunl.certificates.update import Update

__all__ = ["Certificate", "Release"]


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The statement about a release. `print` shows it in words.

    A guarantee that was measured for one request describes that request. It belongs to the owner of the data and must
    not be published with the release.

    Args:
        verdict: PROVED, CONDITIONAL, VACUOUS or NOT CERTIFIED.
        method: the name of the method that made the update.
        guarantee: the guarantee of the update, or of output perturbation if that was requested (`trivial`).
        budget: the privacy budget of the release.
        ceiling: 2·radius, the trivial bound of doing nothing; inf without a ball.
        sigma: standard deviation of the noise in the release.
        epsilon: the certified epsilon at `delta`; None if nothing is proved.
        account: the releases of the run, with this one unless it is an exact retraining.
        parameter_norm: norm of the released parameters, including the noise.
        dimension: the number of released parameters.
    """

    verdict: str
    method: str
    guarantee: Guarantee
    budget: Budget
    ceiling: float
    sigma: float
    epsilon: float | None
    account: Account
    parameter_norm: float
    dimension: int

    @property
    def bound(self) -> float | None:
        """`guarantee.bound`."""
        return self.guarantee.bound

    @property
    def unchecked(self) -> tuple[str, ...]:
        """`guarantee.unchecked`."""
        return self.guarantee.unchecked

    @property
    def delta(self) -> float:
        """`budget.delta`."""
        return self.budget.delta

    @property
    def total_delta(self) -> float:
        """delta + `guarantee.failure_probability`."""
        return self.delta + self.guarantee.failure_probability

    @property
    def mu(self) -> float | None:
        """distance/sigma: the release is as hard to tell from its reference as N(0, 1) from N(mu, 1), or harder.

        The release is then (epsilon, delta)-indistinguishable from the reference for every epsilon, with
        delta = Phi(mu/2 − epsilon/mu) − e^epsilon Phi(−mu/2 − epsilon/mu). Exact retraining has mu 0. mu is None
        without a theorem, with noise that is no Gaussian (`Pairs`), and for a statement that may fail
        (`failure_probability`). Where the certificate states the budget's epsilon, mu is no smaller than the one of
        that epsilon.

        Source: Dong, Roth, Su 2022, definition 2.6 (mu-GDP) and corollary 2.13.
        """
        return Account().charge(self.guarantee.claim(self.budget, self.ceiling).charge).mu

    @property
    def noise_norm(self) -> float:
        """sigma √d, the typical length of the noise."""
        return self.sigma * math.sqrt(self.dimension)

    @property
    def signal_to_noise(self) -> float:
        """√(‖release‖² − sigma² d)/(sigma √d), the ratio of the model's norm to the noise's; inf without noise.

        The model's norm is read off the release. A release below 1 is mostly noise, and at 0 the model cannot be seen.
        """
        if not self.noise_norm:
            return math.inf
        return math.sqrt(max(self.parameter_norm**2 - self.noise_norm**2, 0.0)) / self.noise_norm

    def __str__(self) -> str:
        return printed(self)

    @property
    def trivial_bound(self) -> float:
        """`ceiling` under its name of 0.1."""
        warnings.warn("certificate.trivial_bound is certificate.ceiling", DeprecationWarning, stacklevel=2)
        return self.ceiling

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            return moved("certificate", self.__dict__.get("guarantee"), name)


@struct.dataclass
class Release:
    """A model after forgetting with calibrated noise, and its certificate.

    Args:
        params: the parameters with noise, a pytree of arrays. They may be published.
        update: the un-noised update. It must stay secret.
        certificate: the statement that holds for `params`.
    """

    params: Params
    update: Update
    certificate: Certificate = struct.field(pytree_node=False)

    def __repr__(self) -> str:
        c = self.certificate
        epsilon = "no epsilon" if c.epsilon is None else f"epsilon {c.epsilon:.4g} at delta {c.total_delta:.4g}"
        return f"Release({c.verdict}: {c.method}, {sized(self.params)}, sigma {c.sigma:.4g}, {epsilon})"
