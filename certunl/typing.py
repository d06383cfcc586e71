"""What travels between the rooms: aliases, protocols, the two exceptions and the two small result types."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
from flax import struct

if TYPE_CHECKING:
    from certunl.certificate import Update
    from certunl.training import Run

__all__ = [
    "FORMS",
    "Attack",
    "BadInput",
    "Diverged",
    "Key",
    "Metric",
    "Operator",
    "Outcome",
    "Params",
    "Progress",
    "Scores",
    "Shadows",
    "Solution",
    "Solver",
    "Target",
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
    """Per example: `losses f[n]`; and where the problem predicts classes `correct bool[n]`, `outputs f[n, c]` (logits)
    and `labels i32[n]`, else None."""

    losses: jax.Array
    correct: jax.Array | None
    outputs: jax.Array | None = None
    labels: jax.Array | None = None

    def margins(self) -> jax.Array:
        """f[n]: ln(p/(1 − p)) of the probability p of an example's class, LiRA's scale; without classes −loss. Between
        −100 and 100; −100 for a model that gives no number."""
        if self.outputs is None or self.labels is None:
            margins = -self.losses
        else:
            mine = jax.nn.one_hot(self.labels, self.outputs.shape[-1], dtype=bool)
            others = jax.nn.logsumexp(jnp.where(mine, -jnp.inf, self.outputs), axis=-1)
            margins = jnp.max(jnp.where(mine, self.outputs, -jnp.inf), axis=-1) - others
        return jnp.clip(jnp.nan_to_num(margins, nan=-100.0), -100.0, 100.0)

    def likelihoods(self) -> jax.Array:
        """f[n]: −loss, at least −1e6: so where it is infinite or no number."""
        return jnp.maximum(jnp.nan_to_num(-self.losses, nan=-1e6), -1e6)


@struct.dataclass
class Outcome:
    """One model held against true retraining: everything a metric may look at.

    `original`, `retrained`, `params` are the trained, the truly retrained and the judged parameters; `*_train` and
    `*_test` (None without a test set) their scores on all training and on all test examples, `train` and `test` the
    judged model's; `forgotten`, `retained` are bool[n] over the training examples; `cost` is what forgetting took.
    """

    original: Params
    retrained: Params
    params: Params
    original_train: Scores
    retrained_train: Scores
    train: Scores
    retrained_test: Scores | None
    test: Scores | None
    forgotten: jax.Array
    retained: jax.Array
    cost: dict[str, float]


Metric = Callable[[Outcome], dict[str, float]]


@struct.dataclass
class Shadows:
    """s models that the attacker trained: `inside bool[s, m]`, which of m candidates each has seen; `margins f[s, m]`
    and `likelihoods f[s, m]` (their logarithms) of each candidate under each."""

    inside: jax.Array
    margins: jax.Array
    likelihoods: jax.Array


@struct.dataclass
class Target:
    """A model under attack and what the attacker holds.

    Of m `candidates` half are forgotten examples, `member bool[m]`: an attack may learn from some of these bits, and
    then gives the others' scores only. `run` is the trained model before anything was forgotten, `params` the judged
    one; `original`, `scores` what they give the candidates; `shadows` are models trained on random halves of the
    candidates, `unlearned` the same after forgetting these halves as the judged one forgot (None where there are none).
    """

    run: Any
    params: Params
    candidates: Any
    member: jax.Array
    original: Scores
    scores: Scores
    shadows: Shadows | None = None
    unlearned: Shadows | None = None


class Attack(Protocol):
    """Settings of one way to tell who was in. `needs`: "model", "shadows" or "unlearned", what of the target it uses.

    The call gives f[m], higher for «was in», NaN where an attack learnt from that candidate's bit.
    """

    needs: ClassVar[str]

    def __call__(self, target: Target, key: Key) -> Any: ...
