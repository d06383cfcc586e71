"""The infinitesimal jackknife: the derivative of the minimiser with respect to the weights of the examples."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax

from certunl.base import Key, Params, Progress, nbytes, width
from certunl.certificates.guarantee import Guarantee, minimiser
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, Diverged, plain_numbers
from certunl.methods._definite import check, explained, refusal, solver_for
from certunl.methods._updated import updated
from certunl.rows.origin import Origin
from certunl.rows.statistics import Statistics
from certunl.solvers import Solution, Solver
from certunl.timing import Stopwatch
from certunl.training.curvature import damped, dense
from certunl.training.memory import check_memory
from certunl.training.risk import Risk
from certunl.training.run import Run

__all__ = ["Jackknife"]


@dataclass(frozen=True, kw_only=True)
class Jackknife(Unlearner):
    """w + (H_S + damping I)⁻¹ (sum_{u in U} grad l_u(w)) / n_S, the Newton step with the curvature of all present data.

    The curvature does not depend on the request, so deletions add up. `prepare` decomposes the curvature once and keeps
    one row (H_S + damping I)⁻¹ grad l_u / n_S for each example (or owner); `forget` then adds the rows of its request.
    Without `prepared`, `forget` solves one linear system at the present parameters. H_S, n_S and the regulariser are
    those of `risk.Risk`. For `denominator="retained"` each forgotten gradient contains weight_decay w, its share of the
    regulariser. The bound is None, because there is no theorem away from a minimum.

    Args:
        damping: added to the curvature. A larger one gives a shorter step. Default: 0.
        solver: solves the system when `forget` has no rows. Default: `Dense` for at most `max_dimension` parameters,
            `CG` for more.
        operator: the curvature, "hessian", "ggn" or "fisher".
        max_dimension: largest number of parameters for which `prepare` gives rows and `Dense` is the default solver.

    Source: Suriyakumar and Wilson 2022, Algorithm 1, without its noise.  Differs: `damping`, 0 by default; the sum is
    not projected, so that later requests can add to it.
    """

    keeps_rows: ClassVar[bool] = True

    damping: float = 0.0
    solver: Solver | None = None
    operator: str = "hessian"
    max_dimension: int = 2000

    def __post_init__(self) -> None:
        plain_numbers(self)
        check(self)

    def prepare(self, run: Run, *, progress: Progress | None = None) -> Statistics | None:
        """The rows of all units of the data, or None for more than `max_dimension` parameters.

        Raises: BadInput if they do not fit into the free memory; Diverged, with the damping that is needed, if
        H_S + damping I is not positive definite.
        """
        if width(run.params) > self.max_dimension:
            return None
        data = run.problem.data
        owners = np.arange(len(data)) if data.owners is None else np.asarray(data.owners)
        units, positions = np.unique(owners.astype(np.int32), return_inverse=True)
        needed = 4 * (width(run.params) + len(units)) * nbytes(run.params)
        cure = "lower max_dimension: then forget solves one system for each request"
        check_memory(f"rows of {len(units):,} units and the inverse", needed, cure)
        rows, lowest = _rows(run, jnp.asarray(positions), self.damping, len(units), self.operator)
        if not float(lowest) > 0:
            raise refusal(float(lowest) - self.damping, self.damping)
        owners = jnp.asarray(owners, jnp.int32)
        return Statistics(rows=rows, units=jnp.asarray(units), owners=owners, origin=self._origin(run))

    def forget(self, run: Run, prepared: Statistics | None, request: Any, key: Key) -> Update:
        """params + the sum of the request's rows, or one solve. `key` is used only for an error message."""
        request = run.check(request, key)
        cost = {"damping": float(self.damping)}
        with Stopwatch() as watch:
            if prepared is None:
                correction, facts = self._solve(run, request, key)
                cost |= facts
            elif prepared.belongs(self._origin(run)):
                correction = prepared.correction(request)
            else:
                raise BadInput("these statistics belong to another run; call prepare(run) for this run")
            params = jax.block_until_ready(optax.tree.add(run.params, correction))
        guarantee = Guarantee(says=None, reference=minimiser(run.recipe.radius))
        return updated(run, params, watch, "jackknife", guarantee, request=request, cost=cost)

    def _origin(self, run: Run) -> Origin:
        return Origin.of(run, f"jackknife, {self.operator}, damping {self.damping:g}")

    def _solve(self, run: Run, request: np.ndarray, key: Key) -> tuple[Params, dict[str, float]]:
        solver = solver_for(self, run.params)
        gone = run.present & ~run.retained(request)
        solution = _solved(run, gone, key, self.damping, solver, self.operator)
        try:
            solver.verify(solution)
            if not np.isfinite(solution.residual):
                raise Diverged("the solution is not finite; raise damping")
        except Diverged as error:
            raise explained(error, run, run.present, self.damping, self.operator, key) from error
        return solution.x, {"residual": float(solution.residual), "solver_steps": float(solution.steps)}


def _regulariser(risk: Risk) -> float:
    """The coefficient of w that leaves the risk with an example: weight_decay for denominator="retained", else 0."""
    recipe = risk.run.recipe
    return recipe.weight_decay if recipe.denominator == "retained" else 0.0


@partial(jax.jit, static_argnames=("solver", "operator"))
def _solved(run: Run, gone: jax.Array, key: Key, damping: jax.Array | float, solver: Solver, operator: str) -> Solution:
    """The step for the examples of `gone bool[n]`, by one linear system."""
    risk = Risk(run)
    shares = jnp.where(gone, risk.shares(run.present), 0)
    force = risk.sum_gradient(run.params, shares)
    inside = _regulariser(risk) * jnp.sum(shares)
    force = jax.tree.map(lambda f, w: f + inside.astype(w.dtype) * w, force, run.params)

    def product(v: Params, key: Key) -> Params:
        return risk.product(run.params, v, run.present, operator)

    return solver(damped(product, damping), force, key)


@partial(jax.jit, static_argnames=("units", "operator"))
def _rows(
    run: Run, positions: jax.Array, damping: jax.Array | float, units: int, operator: str
) -> tuple[Params, jax.Array]:
    """(rows with leading axis `units`, the smallest eigenvalue of the damped curvature)."""
    risk, problem = Risk(run), run.problem
    flat, unravel = jax.flatten_util.ravel_pytree(run.params)

    def force(slot: tuple[jax.Array, jax.Array]) -> jax.Array:
        i, share = slot
        gradient = jax.grad(problem.risk)(run.params, problem.data[i[None]], jnp.ones(1))
        return share * (jax.flatten_util.ravel_pytree(gradient)[0] + _regulariser(risk) * flat)

    def product(v: Params, key: Key) -> Params:
        return risk.product(run.params, v, run.present, operator)

    slots = (jnp.arange(len(problem.data)), risk.shares(run.present).astype(flat.dtype))
    forces = jax.ops.segment_sum(jax.lax.map(force, slots, batch_size=32), positions, units)
    matrix = dense(damped(product, damping), run.params, jax.random.key(0))
    with jax.default_matmul_precision("highest"):
        values, vectors = jnp.linalg.eigh(matrix)
        rows = (forces @ vectors / values[None]) @ vectors.T
    return jax.vmap(unravel)(rows), values[0]
