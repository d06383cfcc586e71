"""Damped Newton steps, on the devices of `use_mesh` if there are any, each verified by what it measured."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl import registry
from certunl.base import Key, Params
from certunl.errors import BadInput, Diverged
from certunl.methods._definite import explained
from certunl.methods._newton_program import Settings, newton_steps, spread_steps
from certunl.solvers import LiSSA, Solution
from certunl.training.mesh import Worker, check_on_device, fetched, home_of, in_force
from certunl.training.placing import like, shapes, spread_run
from certunl.training.run import Run

__all__ = ["lowered", "solved", "verify"]


def solved(
    run: Run, retained: jax.Array, key: Key, damping: float | None, settings: Settings, fallback: str | None = None
) -> tuple[Params, Solution, dict[str, float], dict[str, float]]:
    """(parameters, last solution, its facts, entries of `Update.cost`), with every step verified.

    If the solver of `settings` diverges, the solver named `fallback` repeats all steps.
    Raises: BadInput if too few examples are left; Diverged if a step is not to be trusted.
    """
    solver = settings.solver
    params, solutions, measured = jax.block_until_ready(_on_devices(run, retained, key, damping, settings))
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


def _on_devices(run: Run, retained: jax.Array, key: Key, damping: float | None, settings: Settings) -> Any:
    """What `newton_steps` gives, from the devices of `use_mesh` if there are any."""
    worker = in_force()
    if worker is None or worker.rule is not None:
        run = spread_run(run)
        params, *rest = newton_steps(run, retained, key, damping, settings)
        return like(params, run.params), *rest
    check_on_device(run.problem.data, worker)
    axis, home, data = settings.solver.axis, home_of(run.params), run.problem.data
    own = _own_examples(run, damping, settings, worker)
    data = worker.split(data, axis) if own else worker.copied(data, axis)
    inputs = data, *worker.copied((_without_data(run), retained, key, damping), axis)
    params, *rest = fetched(spread_steps(*inputs, settings, worker.mesh(axis), own), home)
    # where the run lies on several devices, so do its next parameters
    return jax.tree.map(
        lambda a, b: a if len(b.devices()) == 1 else jax.device_put(a, b.sharding), params, run.params
    ), *rest


def lowered(run: Run, damping: float | None, settings: Settings, worker: Worker) -> Any:
    """The program of `solved` for the devices of `worker`, which need not be there, lowered and not run."""
    key, number = jax.eval_shape(lambda: (jax.random.key(0), jnp.zeros(())))  # nothing runs on such devices
    rest = run.present, key, None if damping is None else number
    if worker.rule is not None:
        return newton_steps.lower(shapes(run, worker, "devices"), *worker.shapes(rest, "devices"), settings)
    axis, own = settings.solver.axis, _own_examples(run, damping, settings, worker)
    data = worker.shapes(run.problem.data, axis, split=own)
    inputs = (_without_data(run), *rest)
    inputs = worker.shapes(inputs, axis)
    return spread_steps.lower(data, *inputs, settings, worker.mesh(axis), own)


def _own_examples(run: Run, damping: float | None, settings: Settings, worker: Worker) -> bool:
    """Whether a device needs only its own examples. Mini-batches are drawn from all of them."""
    sampled = settings.solver.batch_size or damping is None
    return not sampled and len(run.present) % len(worker) == 0


def _without_data(run: Run) -> Run:
    return replace(run, problem=replace(run.problem, data=None))


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
