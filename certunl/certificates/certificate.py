"""A release, and its certificate in words: what is compared, what was proved, from what, and what is not covered."""

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flax import struct

from certunl.base import Params
from certunl.certificates._moved import moved
from certunl.certificates.budget import Account, Budget
from certunl.certificates.gaussian import noise_ratio
from certunl.certificates.guarantee import SENSES, Guarantee
from certunl.certificates.update import Update

__all__ = ["EXPLAINED", "NOT_COVERED", "Certificate", "Release", "printed"]


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What may be said of a release. A guarantee measured for one request describes it: it is the owner's, not part of
    the release.

    Args:
        verdict: PROVED, CONDITIONAL, VACUOUS or NOT CERTIFIED.
        method: the name of the method that made the update.
        guarantee: what is proved of the update, or of output perturbation where that was asked for.
        budget: what the release may reveal.
        ceiling: 2·radius, the trivial bound of doing nothing; inf without a ball.
        sigma: standard deviation of the noise in the release.
        epsilon: what `sigma` is worth at `delta`, exactly; None where nothing is proved.
        account: the releases of the line, this one included.
        parameter_norm: norm of the released parameters, noise and all.
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
        """The budget's."""
        return self.budget.delta

    @property
    def total_delta(self) -> float:
        """delta + failure probability of the method's own randomness."""
        return self.delta + self.guarantee.failure_probability

    @property
    def noise_norm(self) -> float:
        """sigma √d, the typical length of the noise."""
        return self.sigma * math.sqrt(self.dimension)

    @property
    def signal_to_noise(self) -> float:
        """√(‖release‖² − sigma² d)/(sigma √d), the model's norm over the noise's as the release itself shows them: it
        is mostly noise below 1, nothing else can be seen at 0; inf without noise."""
        if not self.noise_norm:
            return math.inf
        return math.sqrt(max(self.parameter_norm**2 - self.noise_norm**2, 0.0)) / self.noise_norm

    def __str__(self) -> str:
        return printed(self)

    @property
    def trivial_bound(self) -> float:
        """`ceiling`, under its name of 0.1."""
        warnings.warn("certificate.trivial_bound is certificate.ceiling", DeprecationWarning, stacklevel=2)
        return self.ceiling

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            return moved("certificate", self.__dict__.get("guarantee"), name)


@struct.dataclass
class Release:
    """`params` may be published; `update` (un-noised) may not; `certificate` says what the release is worth."""

    params: Params
    update: Update
    certificate: Certificate = struct.field(pytree_node=False)


EXPLAINED = {
    "PROVED": "every assumption is proved by the code, and the noise does not depend on who asks",
    "CONDITIONAL": "true {}",
    "VACUOUS": "the bound is no less than what is proved of doing nothing, or the noise than that for the whole ball",
    "NOT CERTIFIED": "no theorem bounds its distance to its reference here",
    "REFUTED": "an audit found more than is claimed, but for the chance it names",
}
"""The verdicts: the first four are what `certify` gives, the last what an audit finds against any of them."""

NOT_COVERED = (
    "the un-noised models; the original model and whatever was released before those counted here; releases of other "
    "lines of this run; requests chosen by looking at releases; models, settings, preprocessing and normalisation "
    "statistics chosen or fitted with the forgotten data; noise is threefry's, in floating point (normals end at 5 "
    "sigma), from a key of 64 bits that must come of the system's entropy and stay secret (secret_key()): no "
    "cryptographic generator"
)


def printed(certificate: Certificate) -> str:
    """The certificate as it is shown: a line of what each part of it says."""
    c, g = certificate, certificate.guarantee
    lines = [f"{c.verdict}: {c.method}, {EXPLAINED[c.verdict].format(_conditions(g))}"]

    def add(name: str, text: str) -> None:
        lines.append(f"  {name:<14} {text}".rstrip())

    if c.epsilon is not None:
        solver = f", of delta {g.failure_probability:.3g} for the solver" if g.failure_probability else ""
        lines.append(f"  (epsilon, delta) = ({c.epsilon:.4g}, {c.total_delta:.4g}){solver}")
    same = ", plus the same noise" if c.sigma and not g.own_noise else ""
    add("compared with", g.reference + same)
    if c.epsilon is not None:
        add("in the sense", "P(A in E) <= e^epsilon P(B in E) + delta, and the reverse, for every event E")
        add("", f"A: this release    B: {SENSES[g.sense]}")
    add(f"release {c.account.releases}", _account(c))
    add(*_bound(c))
    add("noise", _noise(c))
    add("", _fixed(c))
    for a in g.assumptions:
        add(a.symbol, f"{a.value:<10.5g} {a.status:<10} {a.meaning}")
    for what in g.unchecked:
        add("unchecked", what)
    for what in g.missing:
        add("missing", what)
    add("not covered", NOT_COVERED)
    return "\n".join(line for line in lines if line.strip())


def _conditions(guarantee: Guarantee) -> str:
    """What a CONDITIONAL certificate hangs on."""
    open_ = sorted({a.status for a in guarantee.assumptions if a.status != "proved"}, reverse=True)
    reasons = [f"if the constants marked {' or '.join(open_)} are"] if open_ else []
    reasons += ["if what is unchecked holds"] if guarantee.unchecked else []
    return ", and ".join(reasons or ["of this request alone, whose own bound decides the noise"])


def _bound(c: Certificate) -> tuple[str, str]:
    """What the statement says, beside what output perturbation would take."""
    if c.guarantee.says is None:
        return "distance bound", f"none    trivial bound 2C = {c.ceiling:.5g}"
    name, text = c.guarantee.says.line(c.ceiling)
    if c.guarantee.own_noise and c.epsilon and math.isfinite(c.ceiling):
        text += f"    output perturbation: sigma {noise_ratio(c.epsilon, c.delta) * c.ceiling:.5g}"
    return name, text


def _fixed(c: Certificate) -> str:
    """Where the amount of noise comes from."""
    if c.guarantee.own_noise or not c.sigma:
        return ""
    if c.budget.sigma is not None:
        return "sigma fixed before the request"
    rule = f"{c.budget.calibration} calibration to"
    if c.budget.distance is not None:
        return f"{rule} the distance {c.budget.distance:.5g}, fixed before the request"
    whose = "the same for every such request" if c.guarantee.every_request else "which is this request's own"
    return f"{rule} the bound, {whose}"


def _account(c: Certificate) -> str:
    account = c.account
    if not account.releases:
        return "retrained exactly: the count begins anew; releases before it keep what they spent"
    delta = account.total.delta if account.total else account.least_delta + (c.delta if account.ratios else 0.0)
    exact = account.epsilon(delta)
    zcdp = f" (by zCDP at most {account.zcdp_epsilon(delta):.4g})" if account.ratios else ""
    of = f" of {account.total.epsilon:g}" if account.total else ""
    return f"since training or the last exact retraining: composed epsilon {exact:.4g}{of} at delta {delta:.4g}{zcdp}"


def _noise(c: Certificate) -> str:
    if c.guarantee.sense == "learner":
        return f"sigma {c.sigma:.5g}, of the objective: none is added to the parameters"
    if not c.sigma:
        return "none: the release is the un-noised model"
    mostly = ": mostly noise" if c.signal_to_noise < 1 else ""
    return (
        f"sigma {c.sigma:.5g}    noise norm {c.noise_norm:.4g} in a release of norm {c.parameter_norm:.4g}: signal to "
        f"noise {c.signal_to_noise:.3g}{mostly}"
    )
