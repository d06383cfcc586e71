"""What forgetting gives, un-noised, and the contract of whatever forgets."""

from typing import TYPE_CHECKING, Any, Protocol

from flax import struct
from optax.projections import projection_l2_ball

from certunl.base import Key, Params, Progress
from certunl.certificates._moved import moved
from certunl.certificates.guarantee import Guarantee

if TYPE_CHECKING:
    from certunl.training.run import Run


__all__ = ["Unlearner", "Update"]


@struct.dataclass
class Update:
    """A model after forgetting, un-noised: secret until `certify` has released it.

    Args:
        params: the parameters, a pytree of arrays.
        method: the name of the method that made it.
        guarantee: what is proved of it.
        radius: radius of the ball that training keeps to, None without one. A release is projected onto it before the
            noise; where the method's own steps carry the noise, it is the ball they begin in, and nothing is projected.
        cost: what it took: "seconds", "compile_seconds" and facts of the solver.
    """

    params: Params
    method: str = struct.field(pytree_node=False)
    guarantee: Guarantee = struct.field(pytree_node=False)
    radius: float | None = struct.field(pytree_node=False, default=None)
    cost: dict[str, float] = struct.field(default_factory=dict)

    @property
    def bound(self) -> float | None:
        """`guarantee.bound`."""
        return self.guarantee.bound

    @property
    def unchecked(self) -> tuple[str, ...]:
        """`guarantee.unchecked`."""
        return self.guarantee.unchecked

    def projected(self) -> Params:
        """The parameters on the ball: a release adds noise to them, and distances are measured from them."""
        if self.radius is None or self.guarantee.own_noise:
            return self.params
        return projection_l2_ball(self.params, self.radius)

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            return moved("update", self.__dict__.get("guarantee"), name)


class Unlearner(Protocol):
    """Settings of one way to forget."""

    def prepare(self, run: "Run", *, progress: Progress | None = None) -> Any: ...

    def forget(self, run: "Run", prepared: Any, request: Any, key: Key) -> Update: ...
