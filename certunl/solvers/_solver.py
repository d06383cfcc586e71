"""The contract of a solver and its result."""

from typing import ClassVar

import jax
from flax import struct

from certunl.base import Key, Operator, Params

__all__ = ["Solution", "Solver"]


@struct.dataclass
class Solution:
    """x ~ A⁻¹ b, with the facts that the solver measured about A.

    Args:
        x: the solution, a pytree like b.
        residual: ‖b − A x‖/‖b‖ as the solver measured it. Infinite for LiSSA, which only sees mini-batches.
        steps: number of operator applications, per chain.
        lowest, highest: extreme values of v'Av/v'v that the solver met; NaN if it measured none.
        growth: for LiSSA, the norm of the final iterate divided by the largest norm it can have while
            ‖I − A/scale‖ <= 1. 0 for other solvers.
        scale: the scale that LiSSA used. 0 for other solvers.
    """

    x: Params
    residual: jax.Array
    steps: jax.Array
    lowest: jax.Array
    highest: jax.Array
    growth: jax.Array
    scale: jax.Array | float = 0.0


class Solver:
    """The contract of a solver of A x = b. A solver is a frozen dataclass of settings with this class as its base.

    The call is pure and may be traced. `verify` runs on the host. A solver declares its needs as fields:

        batch_size     examples in each sample of the operator; 0 for the full data
        axis           what is spread over the devices of `use_mesh`: "batch" for the examples of each product
    """

    batch_size: int = 0
    axis: ClassVar[str] = "batch"

    def __call__(self, operator: Operator, b: Params, key: Key) -> Solution:
        raise NotImplementedError(f"{type(self).__name__} does not say how it solves")

    def verify(self, solution: Solution) -> None:
        """Raises `Diverged` with the measured facts if `solution` cannot be trusted."""
