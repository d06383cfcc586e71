"""Conjugate gradients (Hestenes and Stiefel 1952) that stop on the residual and detect negative curvature."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from certunl.base import Key, Operator, Params
from certunl.errors import Diverged, plain_numbers, share, whole
from certunl.solvers._solver import Solution, Solver
from certunl.training.curvature import wide, widened

__all__ = ["CG"]


@dataclass(frozen=True, kw_only=True)
class CG(Solver):
    """x with ‖b − A x‖ <= tol ‖b‖, or the last iterate after `max_steps` products. The residual tells which.

    Raises (in `verify`): Diverged if a direction with v'Av <= 0 was met. The method cannot continue past it.

    Args:
        tol: relative residual at which the iteration stops. Lower is more exact and takes more products.
        max_steps: limit on the number of products A v.
    """

    tol: float = 1e-5
    max_steps: int = 1000

    def __post_init__(self) -> None:
        plain_numbers(self)
        share(tol=self.tol)
        whole(max_steps=self.max_steps)

    def __call__(self, operator: Operator, b: Params, key: Key) -> Solution:
        narrow = b
        operator, b = widened(operator, b), wide(b)
        dot: Any = optax.tree.vdot
        norm: Any = optax.tree.norm
        target = self.tol * norm(b)

        def going(state):
            _, r, _, t, lowest, _ = state
            return (norm(r) > target) & (t < self.max_steps) & (lowest > 0)

        def advance(state):
            x, r, p, t, lowest, highest = state
            image = operator(p, key)
            curvature = dot(p, image)
            quotient = curvature / dot(p, p)
            square = dot(r, r)
            length = jnp.where(curvature > 0, square / jnp.where(curvature > 0, curvature, 1), 0)
            x, r = optax.tree.add_scale(x, length, p), optax.tree.add_scale(r, -length, image)
            p = optax.tree.add_scale(r, dot(r, r) / square, p)
            return x, r, p, t + 1, jnp.minimum(lowest, quotient), jnp.maximum(highest, quotient)

        infinite = jnp.full_like(target, jnp.inf)
        start = (optax.tree.zeros_like(b), b, b, 0, infinite, -infinite)
        x, r, _, steps, lowest, highest = jax.lax.while_loop(going, advance, start)
        residual = jnp.where(target > 0, norm(r) / jnp.where(target > 0, norm(b), 1), 0)
        x = jax.tree.map(lambda a, like: a.astype(like.dtype), x, narrow)
        return Solution(x, residual, jnp.asarray(steps), lowest, highest, jnp.zeros_like(target))

    def verify(self, solution: Solution) -> None:
        if not float(solution.lowest) > 0:
            raise Diverged(
                f"the damped operator is not positive definite: curvature {float(solution.lowest):.4g} met after "
                f"{int(solution.steps)} steps; raise damping by more than {-float(solution.lowest):.4g}, or use "
                'operator="ggn"'
            )
