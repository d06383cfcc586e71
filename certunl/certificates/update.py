"""The un-noised result of forgetting, and the contract of a method that forgets."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from flax import struct
from optax.projections import projection_l2_ball

from certunl.base import Key, Params, Progress, sized
from certunl.certificates._moved import moved
from certunl.certificates.guarantee import Guarantee
from certunl.certificates.secret import Secret
from certunl.errors import BadInput

if TYPE_CHECKING:
    from certunl.training.chunks import Keeper
    from certunl.training.run import Run
    from certunl.training.states import States


__all__ = ["Unlearner", "Update", "declared"]


@struct.dataclass
class Update:
    """A model after forgetting. It is un-noised and must stay secret; `certify` makes a release of it.

    Args:
        params: the un-noised parameters, a pytree of arrays.
        method: the name of the method.
        guarantee: the statement that is proved of the parameters, with its assumptions.
        radius: the radius of the training run's ball; None without a ball. The parameters are projected onto the ball
            before the noise is added. If the method's own steps carry the noise, they begin in this ball, and nothing
            is projected afterwards.
        cost: the cost of forgetting: "seconds", "compile_seconds" and numbers of the solver.
        states: the states of a replay, from which `Run.minus` lets the next one go on; None for other methods.
        end: of `Retrain` on shards, `sealing.end_of` the run after the request; empty otherwise.
        seal: of `Retrain` with states, `sealing.states_of` the run after the request; empty otherwise.
    """

    params: Params
    method: str = struct.field(pytree_node=False)
    guarantee: Guarantee = struct.field(pytree_node=False)
    radius: float | None = struct.field(pytree_node=False, default=None)
    cost: dict[str, float] = struct.field(default_factory=dict)
    states: "States | None" = struct.field(pytree_node=False, default=None)
    end: str = struct.field(pytree_node=False, default="")
    seal: str = struct.field(pytree_node=False, default="")

    def __repr__(self) -> str:
        bound, seconds = self.guarantee.bound, self.cost.get("seconds")
        proved = "no bound" if bound is None else f"bound {bound:.4g}"
        took = f", {seconds:.4g} s" if isinstance(seconds, float) else ""
        return f"Update({self.method}, {sized(self.params)}, {proved}{took})"

    @property
    def bound(self) -> float | None:
        """`guarantee.bound`."""
        return self.guarantee.bound

    @property
    def unchecked(self) -> tuple[str, ...]:
        """`guarantee.unchecked`."""
        return self.guarantee.unchecked

    def projected(self) -> Params:
        """The parameters projected onto the ball. Noise is added to them, and distances are measured from them."""
        if self.radius is None or self.guarantee.own_noise:
            return self.params
        return projection_l2_ball(self.params, self.radius)

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            return moved("update", self.__dict__.get("guarantee"), name)


class Unlearner:
    """The contract of an unlearning method: a frozen dataclass of settings that has this class as its base.

    A method must define `forget`. Everything else has a default. It declares its abilities:

        own_noise      its steps carry the noise, so `key` must be a secret (`secret_key()`)
        keeps_rows     `prepare` returns rows (`rows.Rows`) or None
        stores_rows    `store` and `open` keep those rows on disk
        serves_once    `forget` needs the result of `prepare`, which is a secret and serves one release only
        spreads        `certunl forget --distributed` computes it by all processes together, in `use_mesh`
    """

    own_noise: ClassVar[bool] = False
    keeps_rows: ClassVar[bool] = False
    stores_rows: ClassVar[bool] = False
    serves_once: ClassVar[bool] = False
    spreads: ClassVar[bool] = False

    def prepare(self, run: "Run", *, progress: Progress | None = None) -> Any:
        """The part of the work that needs no request, for `forget`. By default there is none."""
        return None

    def forget(self, run: "Run", prepared: Any, request: Any, key: Key | Secret) -> Update:
        """The update of `run` without `request`, with the result of `prepare` or None. `run` itself is not changed."""
        raise NotImplementedError(f"{type(self).__name__} does not define forget; define it as in certunl.Unlearner")

    def resumable(self, checkpoints: "Keeper") -> "Unlearner":
        """This method, which keeps its state in `checkpoints` while it works. By default it has none to keep."""
        return self

    def repair(self, run: "Run", prepared: Any, key: Key, **settings: Any) -> tuple["Run", Any]:
        """(the run trained further, its rows continued). Raises: BadInput for a method without rows of its own."""
        raise BadInput("only a method with rows of its own can be repaired; use HessianFree with its prepared rows")


@dataclass(frozen=True)
class _Adopted(Unlearner):
    """A wrapper of a method without the base `Unlearner`. Abilities that the method does not declare are False."""

    method: Any

    def __post_init__(self) -> None:
        if not callable(getattr(self.method, "forget", None)):
            raise BadInput(f"a method has forget (see certunl.Unlearner), and {self.method!r} has not")
        for ability in ("own_noise", "keeps_rows", "stores_rows", "serves_once", "spreads"):
            object.__setattr__(self, ability, getattr(self.method, ability, False))

    def prepare(self, run: "Run", *, progress: Progress | None = None) -> Any:
        return self.method.prepare(run, progress=progress)

    def forget(self, run: "Run", prepared: Any, request: Any, key: Key | Secret) -> Update:
        return self.method.forget(run, prepared, request, key)


def declared(method: Any) -> Unlearner:
    """`method` itself if its base is `Unlearner`; otherwise a wrapper with the contract's defaults."""
    return method if isinstance(method, Unlearner) else _Adopted(method)
