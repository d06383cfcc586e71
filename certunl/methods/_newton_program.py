"""Damped Newton steps as one compiled program: spectrum, gradient, solve, residual on the full data, projection."""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec
from optax.projections import projection_l2_ball

from certunl.base import Key, Operator, Params
from certunl.solvers import Solution, Solver
from certunl.training.curvature import damped, extreme_eigenvalues, wide, widened
from certunl.training.dataset import Dataset
from certunl.training.mesh import manual_axis
from certunl.training.risk import Risk
from certunl.training.run import Run

__all__ = ["Settings", "newton_steps", "spread_steps"]

_SAMPLE, _LANCZOS = 1024, 24
"""Number of examples on which the spectrum is measured, and number of Lanczos products."""


class Settings(NamedTuple):
    """The static settings of the program; those of `Newton` with the same names."""

    solver: Solver
    gradient: str
    operator: str
    steps: int


@partial(jax.jit, static_argnames="settings")
def newton_steps(
    run: Run, retained: jax.Array, key: Key, damping: jax.Array | float | None, settings: Settings
) -> tuple[Params, Solution, dict[str, jax.Array]]:
    """(parameters, solutions without x, facts); solutions and facts have the leading axis [steps]."""
    spectrum_key, steps_key = jax.random.split(key)
    risk, size, (axis, devices) = Risk(run), settings.solver.batch_size, manual_axis()
    lowest = highest = jnp.asarray(jnp.inf)
    if size or damping is None:
        sample = _SAMPLE if len(retained) > _SAMPLE else 0

        product = _operator(risk, run.params, retained, settings.operator, sample)
        lowest, highest = extreme_eigenvalues(product, run.params, spectrum_key, _LANCZOS)
        if devices > 1:  # each device measured them by itself; a solver must take as many steps on one as on another
            lowest, highest = jax.lax.pmin(lowest, axis), jax.lax.pmax(highest, axis)
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


@partial(jax.jit, static_argnames=("settings", "mesh", "own"))
def spread_steps(
    data: Dataset,
    run: Run,
    retained: jax.Array,
    key: Key,
    damping: jax.Array | None,
    settings: Settings,
    mesh: Mesh,
    own: bool,
) -> tuple[Params, Solution, dict[str, jax.Array]]:
    """`newton_steps` on every device of `mesh`, of `run` with `data`. With `own` a device has its own examples alone.

    The devices meet in every sum over the data, or at the end of LiSSA's chains, and compute the rest alike.
    """

    def alike(data: Dataset, run: Run, *rest: Any) -> tuple[Params, Solution, dict[str, jax.Array]]:
        run = replace(run, problem=replace(run.problem, data=data))
        return newton_steps(run, *rest, settings)

    specs = PartitionSpec(*(mesh.axis_names if own else ())), *[PartitionSpec()] * 4
    spread = jax.shard_map(alike, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False)
    return spread(data, run, retained, key, damping)


def _floor(run: Run, gradient: str, highest: jax.Array) -> jax.Array:
    """The smallest automatic damping."""
    inertia = {"sgd": 1.0, "momentum": 0.1}.get(run.recipe.optimizer) if isinstance(run.recipe.optimizer, str) else None
    if gradient != "difference" or inertia is None or not run.history:
        return 1e-3 * highest
    # momentum 0.9 moves as far as plain SGD at 10 times the rates
    return inertia / jnp.sum(run.schedule.rates)


def _operator(risk: Risk, params: Params, retained: jax.Array, curvature: str, size: int) -> Operator:
    """The curvature of the retained risk at `params`: on `size` examples, or on all of them if that is 0."""
    if size:
        return risk.estimate(params, retained, curvature, size)
    return lambda v, key: risk.product(params, v, retained, curvature)


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

    full, own = (
        damped(widened(_operator(risk, params, retained, settings.operator, m), params), damping) for m in (0, size)
    )
    v, slope = wide(v), wide(slope)
    solution = settings.solver(own, v, key)
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
