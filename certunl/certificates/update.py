"""What forgetting gives, un-noised, and the contract of whatever forgets."""

from typing import TYPE_CHECKING, Any, Protocol

from flax import struct
from optax.projections import projection_l2_ball

from certunl.base import Key, Params, Progress
from certunl.certificates.guarantee import SENSES, Assumption
from certunl.errors import BadInput

if TYPE_CHECKING:
    from certunl.training.run import Run


__all__ = ["Unlearner", "Update"]


@struct.dataclass
class Update:
    """A model after forgetting, un-noised: secret until `certify` has released it.

    `bound` is a proved distance to `reference` (None where there is no theorem), over failure probability
    `failure_probability`, and `nothing` one of the model as it was before; `uniform` says that it holds for every
    request of this size, `exact` that this is true retraining; `radius` is the ball that training keeps to (releases
    are projected onto it); `unchecked` what the bound takes for granted beyond `assumptions`, in words; `missing` what
    a theorem would have needed where there is no bound; `compared` in which sense the release is compared with its
    reference (`guarantee.SENSES`); `cost` what it took, in seconds and solver facts.

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


class Unlearner(Protocol):
    """Settings of one way to forget."""

    def prepare(self, run: "Run", *, progress: Progress | None = None) -> Any: ...

    def forget(self, run: "Run", prepared: Any, request: Any, key: Key) -> Update: ...
