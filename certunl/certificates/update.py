"""What forgetting gives, un-noised, and the contract of whatever forgets."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from flax import struct
from optax.projections import projection_l2_ball

from certunl.base import Key, Params, Progress
from certunl.certificates._moved import moved
from certunl.certificates.guarantee import Guarantee
from certunl.errors import BadInput

if TYPE_CHECKING:
    from certunl.training.run import Run


__all__ = ["Unlearner", "Update", "declared"]


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


class Unlearner:
    """The contract of a way to forget: a frozen dataclass of settings that names this class as its base.

    `forget` is its own; the rest has defaults. What it can do is declared:

        own_noise      its steps carry the noise, so that `key` must be a secret (`secret_key()`)
        keeps_rows     `prepare` gives rows (`rows.Rows`), or None
        stores_rows    `store` and `open` keep those rows on disk
        serves_once    `forget` needs what `prepare` gives, a secret that serves one release
    """

    own_noise: ClassVar[bool] = False
    keeps_rows: ClassVar[bool] = False
    stores_rows: ClassVar[bool] = False
    serves_once: ClassVar[bool] = False

    def prepare(self, run: "Run", *, progress: Progress | None = None) -> Any:
        """What can be made ready before anyone asks: nothing."""
        return None

    def forget(self, run: "Run", prepared: Any, request: Any, key: Key) -> Update:
        """`run` without `request`, `prepared` or not (None). `run` is not changed."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it forgets")

    def repair(self, run: "Run", prepared: Any, key: Key, **settings: Any) -> tuple["Run", Any]:
        """(the run trained on, its rows carried on). Raises: BadInput for a method without rows of its own."""
        raise BadInput("only a method with rows of its own can be repaired: HessianFree, with what it prepared")


@dataclass(frozen=True)
class _Adopted(Unlearner):
    """A method that names no base: the defaults, where it declares nothing."""

    method: Any

    def __post_init__(self) -> None:
        for ability in ("own_noise", "keeps_rows", "stores_rows", "serves_once"):
            object.__setattr__(self, ability, getattr(self.method, ability, False))

    def prepare(self, run: "Run", *, progress: Progress | None = None) -> Any:
        return self.method.prepare(run, progress=progress)

    def forget(self, run: "Run", prepared: Any, request: Any, key: Key) -> Update:
        return self.method.forget(run, prepared, request, key)


def declared(method: Any) -> Unlearner:
    """`method` itself, or one that has its `prepare` and `forget` and the defaults where it names no base."""
    return method if isinstance(method, Unlearner) else _Adopted(method)
