"""The exact inverse by eigendecomposition, for models with few parameters."""

from dataclasses import dataclass

import jax
import jax.flatten_util
import jax.numpy as jnp

from certunl.base import Key, Operator, Params
from certunl.errors import BadInput, Diverged
from certunl.solvers._solver import Solution, Solver
from certunl.training.curvature import dense, wide
from certunl.training.memory import check_memory

__all__ = ["Dense"]


@dataclass(frozen=True, kw_only=True)
class Dense(Solver):
    """x = A⁻¹ b from the d products A e_j and a symmetric eigendecomposition.

    It takes the memory of 4 d² numbers and d³ time.

    Raises: BadInput above `max_dimension` parameters or the free memory; Diverged (in `verify`) unless A is positive
    definite.

    Args:
        max_dimension: the largest number of parameters d that is accepted.
    """

    max_dimension: int = 4000

    def __call__(self, operator: Operator, b: Params, key: Key) -> Solution:
        flat, unravel = jax.flatten_util.ravel_pytree(wide(b))
        if flat.size > self.max_dimension:
            raise BadInput(
                f"the dense solver takes at most max_dimension={self.max_dimension} parameters, got {flat.size}; use CG"
            )
        check_memory(f"dense inverses of {flat.size:,} parameters", 4 * flat.size**2 * flat.dtype.itemsize, "use CG")
        matrix = dense(operator, b, key)
        with jax.default_matmul_precision("highest"):
            values, vectors = jnp.linalg.eigh(matrix)
            x = vectors @ ((vectors.T @ flat) / values)
            error = jnp.linalg.norm(flat - matrix @ x)
        residual = jnp.where(error > 0, error / jnp.linalg.norm(flat), 0)
        zero = jnp.zeros_like(residual)
        x = jax.tree.map(lambda a, like: a.astype(like.dtype), unravel(x), b)
        return Solution(x, residual, jnp.asarray(flat.size), values[0], values[-1], zero)

    def verify(self, solution: Solution) -> None:
        if not float(solution.lowest) > 0:
            raise Diverged(
                f"the damped operator is not positive definite: smallest eigenvalue {float(solution.lowest):.4g}; "
                f'raise damping by more than {-float(solution.lowest):.4g}, or use operator="ggn"'
            )
