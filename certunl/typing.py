"""What travels between the rooms: aliases, protocols, the two exceptions and the two small result types."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import jax
from flax import struct

if TYPE_CHECKING:
    from certunl.certificate import Update
    from certunl.training import Run

__all__ = [
    "FORMS",
    "BadInput",
    "Diverged",
    "Key",
    "Metric",
    "Operator",
    "Outcome",
    "Params",
    "Progress",
    "Scores",
    "Solution",
    "Solver",
    "Unlearner",
]

Params = Any
"""A pytree of floating-point arrays."""

Key = jax.Array
"""A typed key of `jax.random.key`."""

Operator = Callable[[Params, Key], Params]
"""(v, key) -> A v, unbiased; a deterministic operator ignores its key."""

FORMS = ("first_order", "retained")
"""What a Hessian-free row linearises: who is there and the change of the state, or only the latter."""

Progress = Callable[[int, int], None]
"""(done, total) -> None, called on the host during long work."""


class BadInput(ValueError):
    """What was asked cannot be done: one sentence with what was expected, what came, and what to do."""


class Diverged(ArithmeticError):
    """A computation left the finite numbers or its guarantee: the measured facts, and what to change."""


@struct.dataclass
class Solution:
    """x ~ A⁻¹ b, with what was seen of A on the way.

    `residual` is ‖b − A x‖/‖b‖ as the solver knows it (LiSSA knows only a mini-batch estimate: NaN), `steps` the
    operator applications per chain, `lowest` and `highest` the extreme values of v'Av/v'v met (NaN where none was
    measured), `growth` the norm of the final iterate over the largest norm it can have where
    ‖I − A/scale‖ <= 1 (LiSSA; elsewhere 0), `scale` the one used (LiSSA; elsewhere NaN).
    """

    x: Params
    residual: jax.Array
    steps: jax.Array
    lowest: jax.Array
    highest: jax.Array
    growth: jax.Array
    scale: jax.Array | float = float("nan")


class Solver(Protocol):
    """Settings of one way to solve A x = b; the call is pure and may be traced, `verify` is for the host."""

    def __call__(self, operator: Operator, b: Params, key: Key) -> Solution: ...

    def verify(self, solution: Solution) -> None:
        """Raises `Diverged` with the measured facts when `solution` is not to be trusted."""
        ...


class Unlearner(Protocol):
    """Settings of one way to forget."""

    def prepare(self, run: "Run", *, progress: Progress | None = None) -> Any: ...

    def forget(self, run: "Run", prepared: Any, request: Any, key: Key) -> "Update": ...


@struct.dataclass
class Scores:
    """Per example: `losses f[n]`, and `correct bool[n]` (None where the problem does not predict classes)."""

    losses: jax.Array
    correct: jax.Array | None


@struct.dataclass
class Outcome:
    """One model held against true retraining: everything a metric may look at.

    `original`, `retrained`, `params` are the trained, the truly retrained and the judged parameters;
    `*_train` their scores on all training examples, `test` the judged model's on the test set (or None);
    `forgotten`, `retained` are bool[n] over the training examples; `cost` is what forgetting took.
    """

    original: Params
    retrained: Params
    params: Params
    original_train: Scores
    retrained_train: Scores
    train: Scores
    test: Scores | None
    forgotten: jax.Array
    retained: jax.Array
    cost: dict[str, float]


Metric = Callable[[Outcome], dict[str, float]]
