"""What was proved about a forgotten model: assumptions, updates, certificates, releases."""

import math
from dataclasses import dataclass

from flax import struct
from optax.projections import projection_l2_ball

from certunl.budget import Account, Budget
from certunl.typing import BadInput, Params

__all__ = ["MINIMISER", "REPLAY", "Assumption", "Certificate", "Release", "Update"]

REPLAY = "retraining replayed from the same start on the same schedule without the request"
MINIMISER = "the minimiser of the retained risk"


@dataclass(frozen=True)
class Assumption:
    """One constant a bound rests on. `status`: "proved" (by the code), "given" (by the user), "estimated"."""

    symbol: str
    value: float
    status: str
    meaning: str = ""

    def __post_init__(self) -> None:
        if self.status not in ("proved", "given", "estimated"):
            raise BadInput(f"status must be proved, given or estimated, got {self.status!r}")


@struct.dataclass
class Update:
    """A model after forgetting, un-noised: secret until `certify` has released it.

    `bound` is a proved distance to `reference` (None where there is no theorem), over failure probability
    `failure_probability`, and `nothing` one of the model as it was before; `uniform` says that it holds for every
    request of this size, `exact` that this is true retraining; `noise` is the standard deviation the method's own steps
    already added; `radius` the ball that training keeps to (releases are projected onto it); `unchecked` what the bound
    takes for granted beyond `assumptions`, in words; `cost` what it took, in seconds and solver facts.
    """

    params: Params
    method: str = struct.field(pytree_node=False)
    reference: str = struct.field(pytree_node=False)
    bound: float | None = struct.field(pytree_node=False, default=None)
    nothing: float | None = struct.field(pytree_node=False, default=None)
    uniform: bool = struct.field(pytree_node=False, default=False)
    exact: bool = struct.field(pytree_node=False, default=False)
    failure_probability: float = struct.field(pytree_node=False, default=0.0)
    noise: float = struct.field(pytree_node=False, default=0.0)
    radius: float | None = struct.field(pytree_node=False, default=None)
    assumptions: tuple[Assumption, ...] = struct.field(pytree_node=False, default=())
    unchecked: tuple[str, ...] = struct.field(pytree_node=False, default=())
    cost: dict[str, float] = struct.field(default_factory=dict)

    def projected(self) -> Params:
        """The parameters on the ball: what a release adds noise to, and what distances are measured from."""
        return self.params if self.radius is None else projection_l2_ball(self.params, self.radius)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What may be said of a release. `bound` is the theorem's, `trivial_bound` 2·radius (output perturbation: doing
    nothing), noise is calibrated to the smaller; `epsilon` is exact for `sigma` at `delta`; the guarantee fails with
    probability `failure_probability` more. `account` has the line's releases, this one included; `parameter_norm` is
    the released model's, noise and all. Bounds and assumptions measured for one request describe it: they are the
    owner's, not part of the release."""

    verdict: str
    method: str
    reference: str
    budget: Budget
    bound: float | None
    trivial_bound: float
    sigma: float
    epsilon: float | None
    delta: float
    failure_probability: float
    assumptions: tuple[Assumption, ...]
    unchecked: tuple[str, ...]
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

    def __str__(self) -> str:
        lines = [f"{self.verdict}: {self.method}, {_EXPLAINED[self.verdict]}"]
        if self.epsilon is not None:
            lines.append(
                f"  (epsilon, delta) = ({self.epsilon:.4g}, {self.total_delta:.4g})"
                + (f", of delta {self.failure_probability:.3g} for the solver" if self.failure_probability else "")
            )
        if len(self.account.ratios) > 1 or self.account.total:
            total, count = self.account.total, len(self.account.ratios)
            delta = total.delta if total else self.delta + self.account.failures
            of = f" of {total.epsilon:g}" if total else ""
            reached = f"composed epsilon {self.account.epsilon(delta):.4g}{of} at delta {delta:.4g}"
            lines.append(f"  release {count:<6} since training: {reached}")
        same = ", plus the same noise" if self.sigma else ""
        lines.append(f"  compared with  {self.reference}{same}")
        bound = "none" if self.bound is None else f"{self.bound:.5g}"
        lines.append(f"  distance bound {bound}    trivial bound 2C = {self.trivial_bound:.5g}")
        lines.append(
            f"  sigma          {self.sigma:.5g}    noise norm {self.noise_norm:.4g} "
            f"in a release of norm {self.parameter_norm:.4g}"
        )
        for a in self.assumptions:
            lines.append(f"  {a.symbol:<14} {a.value:<10.5g} {a.status:<10} {a.meaning}".rstrip())
        lines += [f"  unchecked      {what}" for what in self.unchecked]
        lines.append(f"  not covered    {_NOT_COVERED}")
        return "\n".join(lines)


_EXPLAINED = {
    "PROVED": "every assumption is proved by the code",
    "CONDITIONAL": "true if the constants marked given or estimated are, or only for this request",
    "VACUOUS": "the bound is no better than what is proved of doing nothing, or of noise for the whole ball",
    "NOT CERTIFIED": "no theorem bounds its distance to retraining here",
}
_NOT_COVERED = (
    "the un-noised models, earlier releases, adaptive requests, choices of settings made with the forgotten data; "
    "noise comes from threefry with 64 bits of system entropy, no cryptographic generator, in floating point"
)


@struct.dataclass
class Release:
    """`params` may be published; `update` (un-noised) may not; `certificate` says what the release is worth."""

    params: Params
    update: Update
    certificate: Certificate = struct.field(pytree_node=False)
