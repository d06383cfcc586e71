"""What was proved about a forgotten model: assumptions, updates, certificates, releases."""

import math
from dataclasses import dataclass

from flax import struct
from optax.projections import projection_l2_ball

from certunl.budget import Account, Budget
from certunl.typing import BadInput, Params
from certunl.wording import SENSES, printed

__all__ = ["REPLAY", "Assumption", "Certificate", "Release", "Update", "minimiser"]

REPLAY = "retraining replayed from the same start on the same schedule without the request"


def minimiser(radius: float | None) -> str:
    """The reference of methods that minimise, in a ball where training keeps to one."""
    return "the minimiser of the retained risk" + ("" if radius is None else f" over the ball of radius {radius:g}")


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
    request of this size, `exact` that this is true retraining; `radius` is the ball that training keeps to (releases
    are projected onto it); `unchecked` what the bound takes for granted beyond `assumptions`, in words; `missing` what
    a theorem would have needed where there is no bound; `compared` in which sense the release is compared with its
    reference (`wording.SENSES`); `cost` what it took, in seconds and solver facts.

    `looks_back`: it goes back to training as it was, and to everyone forgotten since, though the run was retrained
    meanwhile. Statuses are the word of the method that made it: `certify` believes them.

    A method that adds noise of its own has `noise`, its standard deviation at the end, to which `certify` adds nothing;
    its `bound` is then what the noise is held against, as if two Gaussians stood so far apart, or else `profile` lists
    every (epsilon, delta) that is proved of it; `radius` is the ball its steps begin in.
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
    profile: tuple[tuple[float, float], ...] = struct.field(pytree_node=False, default=())
    compared: str = struct.field(pytree_node=False, default="retraining")
    looks_back: bool = struct.field(pytree_node=False, default=False)
    radius: float | None = struct.field(pytree_node=False, default=None)
    assumptions: tuple[Assumption, ...] = struct.field(pytree_node=False, default=())
    unchecked: tuple[str, ...] = struct.field(pytree_node=False, default=())
    missing: tuple[str, ...] = struct.field(pytree_node=False, default=())
    cost: dict[str, float] = struct.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.compared not in SENSES:
            raise BadInput(f"compared must be one of {', '.join(SENSES)}, got {self.compared!r}")

    def projected(self) -> Params:
        """The parameters on the ball: what a release adds noise to, and what distances are measured from."""
        if self.radius is None or self.noise:
            return self.params
        return projection_l2_ball(self.params, self.radius)


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
