"""Newton steps on the retained risk until its float64 gradient is small."""

from functools import partial
from typing import Any, NamedTuple

import jax
from optax.projections import projection_l2_ball

from certunl.base import Key, Params
from certunl.bounds.linear_risk import LinearRisk, Slope
from certunl.errors import BadInput, Diverged, positive, whole
from certunl.solvers import Solution, Solver
from certunl.training.risk import Risk
from certunl.training.run import Run

__all__ = ["Descent", "check", "descend", "tolerance_of"]

_SHORTEST = 1e-5
"""A step shortened below this share of Newton's is rounding."""


class Descent(NamedTuple):
    """`params`, the gradient there, steps tried, products the solver took."""

    params: Params
    slope: Slope
    steps: int
    products: int

    @property
    def cost(self) -> dict[str, float]:
        """What it took, and what gradient is left."""
        return {
            "residual": self.slope.most,
            "newton_steps": float(self.steps),
            "solver_steps": float(self.products),
        }


def check(method: Any) -> None:
    """Raises BadInput where tolerance, steps or solver of `method` do not fit."""
    positive("for mu/100", tolerance=method.tolerance)
    whole(steps=method.steps)
    solver = method.solver
    if not isinstance(solver, Solver) or solver.batch_size:
        raise BadInput(f"solver must be CG() or Dense(), which solve on the full data, got {solver!r}")


def tolerance_of(method: Any, risk: LinearRisk) -> float:
    """That of the method, or mu/100."""
    return risk.least_convexity / 100 if method.tolerance is None else float(method.tolerance)


def descend(
    risk: LinearRisk, start: Params, b: Params, tolerance: float, steps: int, solver: Solver, key: Key
) -> Descent:
    """w <- project(w − length H⁻¹ grad), once or more, until ‖grad‖ with its rounding is at most `tolerance`.

    length is 1, and a quarter of that while the step does not lower the norm: some length does, because ‖grad‖² falls
    at the rate 2 ‖grad‖² along Newton's direction. Only the direction is computed in the parameters' dtype.
    Raises: Diverged where `steps` do not reach the tolerance.
    """
    run, params, slope = risk.run, start, risk.slope(start, b)
    retained, x, length = risk.mask(), None, 1.0
    taken = products = 0
    while taken < steps and length > _SHORTEST and (slope.most > tolerance or not taken):
        if x is None:
            solution = jax.block_until_ready(_solve(run, retained, params, slope.gradient, key, solver))
            solver.verify(solution)
            x, length, products = solution.x, 1.0, products + int(solution.steps)
        moved = _moved(run, params, x, length)
        found, taken = risk.slope(moved, b), taken + 1
        if found.most < slope.most:
            params, slope, x = moved, found, None
        else:
            length /= 4
    if not slope.most <= tolerance:
        how = "raise steps or tolerance, or retrain"
        if length <= _SHORTEST or slope.rounding > tolerance / 2:
            how = "no step lowers it, parameters of this precision end here: raise tolerance, or train in float64"
        if run.recipe.radius is not None:
            how += " (a ball that does not hold the minimiser keeps it up, too)"
        raise Diverged(
            f"the retained gradient's norm is {slope.most:.4g} after {taken} steps, above the tolerance of "
            f"{tolerance:.4g}; {how}"
        )
    return Descent(params, slope, taken, products)


@partial(jax.jit, static_argnames="solver")
def _solve(run: Run, retained: jax.Array, params: Params, gradient: Params, key: Key, solver: Solver) -> Solution:
    """H x = gradient, H the Hessian of the retained risk at `params`."""
    risk = Risk(run)

    def operator(v: Params, key: Key) -> Params:
        return risk.product(params, v, retained, "hessian")

    return solver(operator, jax.tree.map(lambda g, p: g.astype(p.dtype), gradient, params), key)


@jax.jit
def _moved(run: Run, params: Params, x: Params, length: jax.Array | float) -> Params:
    """project(params − length x)."""
    moved = jax.tree.map(lambda p, v: (p - length * v).astype(p.dtype), params, x)
    return moved if run.recipe.radius is None else projection_l2_ball(moved, run.recipe.radius)
