"""The published second-order methods, each with about the smallest damping with which its Hessian can be solved."""

from collections.abc import Iterator
from typing import Any

import jax

import certunl as cu
from benchmarks.papers.qiao2025.judging import KEY
from certunl.certificates.update import Unlearner
from certunl.solvers import Solver
from certunl.training.curvature import extreme_eigenvalues
from certunl.training.risk import Risk

__all__ = ["EXACT", "ROUGH", "by_curvature", "smallest_eigenvalue"]

LANCZOS = 48  # products that find the damping for a positive definite Hessian
EXACT, ROUGH = cu.CG(tol=1e-4, max_steps=1000), cu.CG(tol=1e-2, max_steps=40)


def by_curvature(run: cu.Run, request: Any, solver: Solver | None, lowest: float) -> dict[str, cu.Update]:
    """The second-order methods, each with the first damping with which it can be solved."""
    found: dict[str, cu.Update] = {}
    for name, method in second_order_methods(solver, lowest):
        if name not in found:
            try:
                found[name] = method.forget(run, None, request, KEY)
            except cu.Diverged:
                continue
    return found


def second_order_methods(solver: Solver | None, lowest: float) -> Iterator[tuple[str, Unlearner]]:
    """(name, method). A name comes again with the next larger damping, in case the last one was not enough."""
    if solver is None:
        return
    yield "newton", cu.Newton(operator="ggn", solver=ROUGH)
    for damping in [0.0] * (lowest > 0) + [1.1 * abs(lowest) * 1.5**k for k in range(12)]:
        yield "newton_step", cu.NewtonStep(damping=damping, solver=solver)
        yield "jackknife", cu.Jackknife(damping=damping, solver=solver)


@jax.jit
def smallest_eigenvalue(run: cu.Run, key: Any) -> jax.Array:
    """The smallest eigenvalue of the Hessian over all data, approached from above."""

    def product(v: Any, k: Any) -> Any:
        return Risk(run).product(run.params, v, run.present, "hessian")

    return extreme_eigenvalues(product, run.params, key, LANCZOS)[0]
