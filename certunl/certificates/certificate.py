"""A release, and its certificate in words: what is compared, what was proved, from what, and what is not covered."""

import math
from dataclasses import dataclass

from flax import struct

from certunl.base import Params
from certunl.certificates.budget import Account, Budget
from certunl.certificates.gaussian import noise_ratio
from certunl.certificates.guarantee import SENSES, Assumption
from certunl.certificates.update import Update

__all__ = ["EXPLAINED", "NOT_COVERED", "Certificate", "Release", "printed"]


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What may be said of a release. `bound` is the theorem's, `trivial_bound` 2·radius (output perturbation: doing
    nothing); noise is calibrated to the smaller, or to the distance that the budget fixed; `epsilon` is exact for
    `sigma` at `delta`; the guarantee fails with probability `failure_probability` more. `own_noise`: sigma is of the
    method's own steps, `profiled`: whose guarantee is no Gaussian one; `uniform`: the bound is the same for every
    request of the size. `account` has the line's releases, this one included; `parameter_norm` is the released model's,
    noise and all. Bounds and assumptions measured for one request describe it: they are the owner's, not part of the
    release."""

    verdict: str
    method: str
    reference: str
    compared: str
    budget: Budget
    bound: float | None
    trivial_bound: float
    sigma: float
    own_noise: bool
    profiled: bool
    uniform: bool
    epsilon: float | None
    delta: float
    failure_probability: float
    assumptions: tuple[Assumption, ...]
    unchecked: tuple[str, ...]
    missing: tuple[str, ...]
    account: Account
    parameter_norm: float
    dimension: int

    @property
    def total_delta(self) -> float:
        """delta + failure probability of the method's own randomness."""
        return self.delta + self.failure_probability

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
    c = certificate
    lines = [f"{c.verdict}: {c.method}, {EXPLAINED[c.verdict].format(_conditions(c))}"]

    def add(name: str, text: str) -> None:
        lines.append(f"  {name:<14} {text}".rstrip())

    if c.epsilon is not None:
        solver = f", of delta {c.failure_probability:.3g} for the solver" if c.failure_probability else ""
        lines.append(f"  (epsilon, delta) = ({c.epsilon:.4g}, {c.total_delta:.4g}){solver}")
    same = ", plus the same noise" if c.sigma and not c.own_noise else ""
    add("compared with", c.reference + same)
    if c.epsilon is not None:
        add("in the sense", "P(A in E) <= e^epsilon P(B in E) + delta, and the reverse, for every event E")
        add("", f"A: this release    B: {SENSES[c.compared]}")
    add(f"release {c.account.releases}", _account(c))
    if c.own_noise:
        add("bound", _against_own_noise(c))
    else:
        bound = "none" if c.bound is None else f"{c.bound:.5g}"
        add("distance bound", f"{bound}    trivial bound 2C = {c.trivial_bound:.5g}")
    add("noise", _noise(c))
    add("", _fixed(c))
    for a in c.assumptions:
        add(a.symbol, f"{a.value:<10.5g} {a.status:<10} {a.meaning}")
    for what in c.unchecked:
        add("unchecked", what)
    for what in c.missing:
        add("missing", what)
    add("not covered", NOT_COVERED)
    return "\n".join(line for line in lines if line.strip())


def _conditions(c: Certificate) -> str:
    """What a CONDITIONAL certificate hangs on."""
    open_ = sorted({a.status for a in c.assumptions if a.status != "proved"}, reverse=True)
    reasons = [f"if the constants marked {' or '.join(open_)} are"] if open_ else []
    reasons += ["if what is unchecked holds"] if c.unchecked else []
    return ", and ".join(reasons or ["of this request alone, whose own bound decides the noise"])


def _fixed(c: Certificate) -> str:
    """Where the amount of noise comes from."""
    if c.own_noise or not c.sigma:
        return ""
    if c.budget.sigma is not None:
        return "sigma fixed before the request"
    rule = f"{c.budget.calibration} calibration to"
    if c.budget.distance is not None:
        return f"{rule} the distance {c.budget.distance:.5g}, fixed before the request"
    return f"{rule} the bound, " + ("the same for every such request" if c.uniform else "which is this request's own")


def _account(c: Certificate) -> str:
    account = c.account
    if not account.releases:
        return "retrained exactly: the count begins anew; releases before it keep what they spent"
    delta = account.total.delta if account.total else account.least_delta + (c.delta if account.ratios else 0.0)
    exact = account.epsilon(delta)
    zcdp = f" (by zCDP at most {account.zcdp_epsilon(delta):.4g})" if account.ratios else ""
    of = f" of {account.total.epsilon:g}" if account.total else ""
    return f"since training or the last exact retraining: composed epsilon {exact:.4g}{of} at delta {delta:.4g}{zcdp}"


def _against_own_noise(c: Certificate) -> str:
    held = "(epsilon, delta) pairs of the method's own noise, no Gaussian trade-off" if c.profiled else _chain(c)
    if c.epsilon is None or not c.epsilon or c.trivial_bound == float("inf"):
        return held
    return f"{held}    output perturbation: sigma {noise_ratio(c.epsilon, c.delta) * c.trivial_bound:.5g}"


def _chain(c: Certificate) -> str:
    if c.bound is None:
        return "none"
    return f"as two Gaussians {c.bound:.5g} apart, of sigma {c.sigma:.5g}: the method's own steps"


def _noise(c: Certificate) -> str:
    if c.compared == "learner":
        return f"sigma {c.sigma:.5g}, of the objective: none is added to the parameters"
    if not c.sigma:
        return "none: the release is the un-noised model"
    mostly = ": mostly noise" if c.signal_to_noise < 1 else ""
    return (
        f"sigma {c.sigma:.5g}    noise norm {c.noise_norm:.4g} in a release of norm {c.parameter_norm:.4g}: signal to "
        f"noise {c.signal_to_noise:.3g}{mostly}"
    )
