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
"""Shortest step length, as a share of Newton's step. A shorter step changes the parameters by rounding only."""


class Descent(NamedTuple):
    """The end of the Newton steps.

    Args:
        params: the parameters.
        slope: the gradient of the risk at `params`.
        steps: number of steps that were tried.
        products: number of the solver's iterations, over all solves.
    """

    params: Params
    slope: Slope
    steps: int
    products: int

    @property
    def cost(self) -> dict[str, float]:
        """The gradient norm that is left and the work done, for `Update.cost`."""
        return {
            "residual": self.slope.most,
            "newton_steps": float(self.steps),
            "solver_steps": float(self.products),
        }


def check(method: Any) -> None:
    """Checks `tolerance`, `steps` and `solver` of `method`. Raises: BadInput for the first one that does not fit."""
    positive("for mu/100", tolerance=method.tolerance)
    whole(steps=method.steps)
    solver = method.solver
    if not isinstance(solver, Solver) or solver.batch_size:
        raise BadInput(f"solver must be CG() or Dense(), which solve on the full data, got {solver!r}")


def tolerance_of(method: Any, risk: LinearRisk) -> float:
    """The method's tolerance. Default: mu/100."""
    return risk.least_convexity / 100 if method.tolerance is None else float(method.tolerance)


def descend(
    risk: LinearRisk, start: Params, b: Params, tolerance: float, steps: int, solver: Solver, key: Key
) -> Descent:
    """Steps w <- project(w − length H⁻¹ grad), at least one, until ‖grad‖ with its rounding is at most `tolerance`.

    The length of a step is 1 at first. It is divided by 4 as long as the step does not lower the norm. Without a ball
    some length lowers it, because ‖grad‖² falls at the rate 2 ‖grad‖² along Newton's direction. The gradient is
    float64; only the direction is computed in the parameters' dtype.
    Raises: Diverged if `steps` do not reach the tolerance.
    """
    run, params, slope = risk.run, start, risk.slope(start, b)
    retained, x, length = risk.mask(), None, 1.0
    tries = products = 0
    while tries < steps and length > _SHORTEST and (slope.most > tolerance or not tries):
        if x is None:
            solution = jax.block_until_ready(_solve(run, retained, params, slope.gradient, key, solver))
            solver.verify(solution)
            x, length, products = solution.x, 1.0, products + int(solution.steps)
        trial = _moved(run, params, x, length)
        trial_slope, tries = risk.slope(trial, b), tries + 1
        if trial_slope.most < slope.most:
            params, slope, x = trial, trial_slope, None
        else:  # keep the direction, which no new solve would change
            length /= 4
    if not slope.most <= tolerance:
        how = "raise steps or tolerance, or retrain"
        if length <= _SHORTEST or slope.rounding > tolerance / 2:
            how = "no step lowers it further at this precision of the parameters: raise tolerance, or train in float64"
        if run.recipe.radius is not None:
            how += " (the norm also stays large if the minimiser lies outside the ball)"
        raise Diverged(
            f"the norm of the retained gradient is {slope.most:.4g} after {tries} steps, above the tolerance of "
            f"{tolerance:.4g}; {how}"
        )
    return Descent(params, slope, tries, products)


@partial(jax.jit, static_argnames="solver")
def _solve(run: Run, retained: jax.Array, params: Params, gradient: Params, key: Key, solver: Solver) -> Solution:
    """The solution of H x = `gradient`, H the Hessian of the retained risk at `params`."""
    risk = Risk(run)

    def operator(v: Params, key: Key) -> Params:
        return risk.product(params, v, retained, "hessian")

    return solver(operator, jax.tree.map(lambda g, p: g.astype(p.dtype), gradient, params), key)


@jax.jit
def _moved(run: Run, params: Params, x: Params, length: jax.Array | float) -> Params:
    """project(params − length x)."""
    moved = jax.tree.map(lambda p, v: (p - length * v).astype(p.dtype), params, x)
    return moved if run.recipe.radius is None else projection_l2_ball(moved, run.recipe.radius)
