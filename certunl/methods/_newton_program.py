"""Damped Newton steps as one compiled program: spectrum, gradient, solve, residual on the full data, projection."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax.projections import projection_l2_ball

from certunl import registry
from certunl.base import Key, Operator, Params
from certunl.errors import BadInput, Diverged
from certunl.methods._definite import explained
from certunl.solvers import LiSSA, Solution, Solver
from certunl.training.curvature import damped, extreme_eigenvalues, wide, widened
from certunl.training.risk import Risk
from certunl.training.run import Run

__all__ = ["Settings", "newton_steps", "solved", "verify"]

_SAMPLE, _LANCZOS = 1024, 24
"""Number of examples on which the spectrum is measured, and number of Lanczos products."""


class Settings(NamedTuple):
    """The static settings of the program; those of `Newton` with the same names."""

    solver: Solver
    gradient: str
    operator: str
    steps: int


def solved(
    run: Run, retained: jax.Array, key: Key, damping: float | None, settings: Settings, fallback: str | None = None
) -> tuple[Params, Solution, dict[str, float], dict[str, float]]:
    """(parameters, last solution, its facts, entries of `Update.cost`), with every step verified.

    If the solver of `settings` diverges, the solver named `fallback` repeats all steps.
    Raises: BadInput if too few examples are left; Diverged if a step is not to be trusted.
    """
    solver = settings.solver
    params, solutions, measured = jax.block_until_ready(newton_steps(run, retained, key, damping, settings))
    if solver.devices > 1:  # a copy through the host, because the results are committed to those devices
        params, solutions, measured = jax.tree.map(lambda a: jnp.asarray(np.asarray(a)), (params, solutions, measured))
    size, left = solver.batch_size, int(measured["left"][0])
    if not left:
        raise BadInput("no example that training visited is left; there is nothing to retain")
    if left < size:
        raise BadInput(
            f"{left} examples that training visited are left, fewer than one mini-batch of {size}: lower "
            "solver.batch_size, use CG, or retrain"
        )
    solution, facts = solutions, {}
    try:
        for number in range(settings.steps):
            solution, facts = jax.tree.map(lambda a, i=number: a[i], (solutions, measured))
            facts = {name: float(value) for name, value in facts.items()}
            solver.verify(solution)
            verify(facts)
    except Diverged as error:
        if fallback is None:
            if damping is not None:
                raise _with_offer(error, run, retained, key, settings) from None
            raise explained(error, run, retained, facts.get("damping", 0.0), settings.operator, key) from None
        other = settings._replace(solver=registry.build("solvers", fallback))
        params, solution, facts, cost = solved(run, retained, key, damping, other)
        return params, solution, facts, cost | {"fallback": 1.0}
    cost = {
        "residual": facts["error"] / facts["gradient"] if facts["gradient"] else 0.0,
        "solver_steps": float(solution.steps),
        "damping": facts["damping"],
    }
    if isinstance(solver, LiSSA):
        scale = float(solution.scale)
        cost |= {"scale": scale, "depth_for_1%": LiSSA.depth_for(facts["lowest"] + facts["damping"], scale)}
    return params, solution, facts, cost


def _with_offer(error: Diverged, run: Run, retained: jax.Array, key: Key, settings: Settings) -> Diverged:
    """`error` with the damping that is measured without a given one, if the same steps succeed with it."""
    try:
        *_, cost = solved(run, retained, key, None, settings)
    except Diverged:
        return error
    return Diverged(f"{error} (measured: without damping=, the same step takes {cost['damping']:.4g} and succeeds)")


def verify(facts: dict[str, float]) -> None:
    """Checks the measured facts of one step. Raises: Diverged if the step is not to be trusted."""
    if not np.isfinite([facts["error"], facts["gradient"], facts["norm"]]).all():
        raise Diverged("the Newton step is not finite; raise damping (or scale, for LiSSA)")
    if facts["error"] > 3 * facts["gradient"]:
        raise Diverged(
            f"the residual of the solution is {facts['error'] / facts['gradient']:.3g} times the right side, while "
            "x = 0 has 1: mini-batches are too small or scale is too low; raise scale, damping or solver.batch_size"
        )
    low, damping = facts["lowest"], facts["damping"]
    if low + damping < -1e-5 * facts["highest"]:  # beyond rounding
        raise Diverged(
            f"the Hessian is indefinite: its smallest eigenvalue is at most {low:.4g} on a sample of the retained "
            f"examples, and damping {damping:.4g} does not raise it above 0; raise damping above {-low:.4g}, "
            'leave damping out to have it measured, or use operator="ggn"'
        )
    if facts["along"] < 0:
        raise Diverged(
            f"the Hessian is indefinite: the damped curvature along the solution is {facts['along']:.4g}; raise "
            'damping, or use operator="ggn"'
        )


@partial(jax.jit, static_argnames="settings")
def newton_steps(
    run: Run, retained: jax.Array, key: Key, damping: jax.Array | float | None, settings: Settings
) -> tuple[Params, Solution, dict[str, jax.Array]]:
    """(parameters, solutions without x, facts); solutions and facts have the leading axis [steps]."""
    spectrum_key, steps_key = jax.random.split(key)
    risk, size = Risk(run), settings.solver.batch_size
    lowest = highest = jnp.asarray(jnp.inf)
    if size or damping is None:
        sample = _SAMPLE if len(retained) > _SAMPLE else 0

        def product(v: Params, k: Key) -> Params:
            return risk.product(run.params, v, retained, settings.operator, k, sample)

        lowest, highest = extreme_eigenvalues(product, run.params, spectrum_key, _LANCZOS)
    if damping is None:
        floor = jnp.asarray(_floor(run, settings.gradient, highest)).astype(lowest.dtype)
        damping = jnp.maximum(floor, -1.5 * lowest)
    scalar = optax.tree.norm(wide(run.params))
    common = {"lowest": lowest, "highest": highest, "damping": damping, "left": risk.count(retained)}
    common["visited"] = jnp.sum(risk.visited())
    common = {name: jnp.asarray(value, scalar.dtype) for name, value in common.items()}

    def advance(params: Params, k: Key) -> tuple[Params, tuple[Solution, dict[str, jax.Array]]]:
        params, solution, facts = _step(risk, params, retained, common["damping"], k, settings, size)
        return params, (replace(solution, x=None), facts | common)

    params, (solutions, facts) = jax.lax.scan(advance, run.params, jax.random.split(steps_key, settings.steps))
    return params, solutions, facts


def _floor(run: Run, gradient: str, highest: jax.Array) -> jax.Array:
    """The smallest automatic damping."""
    inertia = {"sgd": 1.0, "momentum": 0.1}.get(run.recipe.optimizer) if isinstance(run.recipe.optimizer, str) else None
    if gradient != "difference" or inertia is None or not run.history:
        return 1e-3 * highest
    # momentum 0.9 moves as far as plain SGD at 10 times the rates
    return inertia / jnp.sum(run.schedule.rates)


def _step(
    risk: Risk, params: Params, retained: jax.Array, damping: jax.Array, key: Key, settings: Settings, size: int
) -> tuple[Params, Solution, dict[str, jax.Array]]:
    """(parameters, solution, facts) of one step.

    The facts are norms and one curvature: "gradient" of v, "error" of v − A x on the full retained data, "shift" of v
    minus the retained gradient, "slope" of that gradient, "norm" of `params`, "step" of x; "along" is x'Ax/x'x.
    """
    run, recipe = risk.run, risk.run.recipe
    slope = risk.gradient(params, retained)
    if settings.gradient == "retained":
        v = slope
    elif settings.gradient == "forgotten" and recipe.denominator == "retained":
        forgotten = run.present & ~retained
        odds = risk.count(forgotten) / jnp.maximum(risk.count(retained), 1)
        v = jax.tree.map(lambda g: -odds.astype(g.dtype) * g, risk.gradient(params, forgotten))
    elif settings.steps == 1:  # one weighted sum, because a difference of two large gradients would cancel
        v = risk.sum_gradient(params, risk.shares(retained) - risk.shares(run.present))
    else:
        v = optax.tree.sub(slope, risk.gradient(run.params, run.present))

    def operator(u: Params, k: Key, size: int = 0) -> Params:
        return risk.product(params, u, retained, settings.operator, k, size)

    full: Operator = damped(widened(operator, params), damping)
    v, slope = wide(v), wide(slope)
    solution = settings.solver(damped(widened(partial(operator, size=size), params), damping), v, key)
    x, image = solution.x, full(solution.x, key)
    square = optax.tree.vdot(x, x)
    facts = {
        "gradient": optax.tree.norm(v),
        "error": optax.tree.norm(optax.tree.sub(v, image)),
        "shift": optax.tree.norm(optax.tree.sub(v, slope)),
        "slope": optax.tree.norm(slope),
        "norm": optax.tree.norm(wide(params)),
        "step": jnp.sqrt(square),
        "along": jnp.asarray(optax.tree.vdot(x, image)) / jnp.where(square == 0, 1, square),
    }
    moved = jax.tree.map(lambda p, xi: (p.astype(xi.dtype) - xi).astype(p.dtype), params, x)
    return moved if recipe.radius is None else projection_l2_ball(moved, recipe.radius), solution, facts
