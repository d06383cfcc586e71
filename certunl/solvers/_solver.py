"""The contract of a solver, and what it gives."""

import jax
from flax import struct

from certunl.base import Key, Operator, Params

__all__ = ["Solution", "Solver"]


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


class Solver:
    """The contract of a way to solve A x = b: a frozen dataclass of settings that names this class as its base.

    The call is pure and may be traced; `verify` is for the host. What it asks for is declared:

        batch_size     examples in each sample of the operator; 0 for the full data
        devices        devices that share the work
    """

    batch_size: int = 0
    devices: int = 1

    def __call__(self, operator: Operator, b: Params, key: Key) -> Solution:
        raise NotImplementedError(f"{type(self).__name__} does not say how it solves")

    def verify(self, solution: Solution) -> None:
        """Raises `Diverged` with the measured facts when `solution` is not to be trusted."""
