"""Newton unlearning (Zhang et al., ICML 2024): one damped Newton step on the retained risk."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax.projections import projection_l2_ball

from certunl import requests
from certunl.bounds.newton import NewtonConstants, newton_bound
from certunl.certificate import MINIMISER, REPLAY, Assumption, Update
from certunl.curvature import CURVATURES, damped, sampled, streamed
from certunl.solvers import CG, LiSSA
from certunl.timing import Stopwatch
from certunl.training import Run
from certunl.typing import BadInput, Diverged, Key, Operator, Params, Progress, Solution, Solver

__all__ = ["Newton"]


_CG = CG()


@dataclass(frozen=True, kw_only=True)
class Newton:
    """w~ = project(w − (H + damping I)⁻¹ v), H the curvature of the retained risk at the trained w.

    The risk is the one retraining minimises: (1/n) sum of retained losses + weight_decay/2 ‖w‖² for
    `denominator="batch"`, the mean over the retained for "retained", n counting the examples that the schedule visits.
    `gradient` chooses v:

    * "difference": grad L(w, retained) − grad L(w, present): what forgetting changes (default; equal to the next two
      at a stationary point, and the only one that is 0 for an empty request elsewhere);
    * "retained": grad L(w, retained), the authors' code; it also goes on training;
    * "forgotten": −(k/(n−k)) grad L(w, forgotten), the paper's formula; for "batch", where the forgotten leave an
      unchanged divisor, −(1/n) sum of their gradients: "difference" again.

    `operator` is "hessian" or "ggn" (positive semi-definite; not the paper's). Damping is added to the product itself.
    `solver` decides between mini-batches (LiSSA) and the full data; the residual is always measured on the full data.
    `assumed`: the constants of the paper's bound; without them, or without a ball, there is no theorem.
    Source: Zhang et al. 2024, Algorithm 1.  Differs: projected after the step; damped by product, not in the loss.
    """

    damping: float = 0.1
    solver: Solver = _CG
    gradient: str = "difference"
    operator: str = "hessian"
    assumed: NewtonConstants | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.damping < float("inf"):
            raise BadInput(f"damping must be a number of at least 0, got {self.damping}")
        for name, known in (
            ("gradient", ("difference", "retained", "forgotten")),
            ("operator", tuple(CURVATURES)),
        ):
            if getattr(self, name) not in known:
                raise BadInput(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")

    def prepare(self, run: Run, *, progress: Progress | None = None) -> None:
        """Nothing to prepare."""

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """One program: gradient, solve, residual on the full data, step, projection.

        Raises: Diverged with the measured facts when the solver says so or the result is not finite.
        """
        request = requests.check(run, request)
        settings = (self.gradient, self.operator, self.solver)
        with Stopwatch() as watch:
            params, solution, residual, shift = jax.block_until_ready(
                _step(run, run.retained(request), jnp.asarray(self.damping), key, settings)
            )
        self.solver.verify(solution)
        if not jnp.isfinite(residual):
            raise Diverged("the Newton step is not finite; raise damping (or scale, for LiSSA)")
        bound, assumptions = self._bound(run, float(shift))
        cost = {
            "seconds": watch.seconds,
            "compile_seconds": watch.compile_seconds,
            "residual": float(residual),
            "solver_steps": float(solution.steps),
        }
        return Update(
            params=params,
            method="newton",
            reference=self._reference(bound),
            bound=bound,
            uniform=float(shift) == 0,
            failure_probability=self.assumed.failure_probability if self.assumed and bound is not None else 0.0,
            radius=run.recipe.radius,
            assumptions=assumptions,
            cost=cost,
        )

    def _reference(self, bound: float | None) -> str:
        if bound is None or self.assumed is None:
            return REPLAY if self.gradient == "difference" else MINIMISER
        return (
            f"a point of the ball where the retained risk has gradient norm <= G = {self.assumed.gradient_residual:g}"
        )

    def _bound(self, run: Run, shift: float) -> tuple[float | None, tuple[Assumption, ...]]:
        """The paper's bound where its constants are given, there is a ball, and the recursion is deep enough for it."""
        if self.assumed is None or run.recipe.radius is None:
            return None, ()
        gap = self.damping + self.assumed.smallest_eigenvalue
        scale = ()
        if isinstance(self.solver, LiSSA):
            if gap > 0 and self.solver.depth < self.solver.depth_for(gap):
                return None, ()
            scale = (Assumption("S", self.solver.scale, "given", "at least the norm of every mini-batch operator"),)
        bound, assumptions = newton_bound(
            self.assumed,
            radius=run.recipe.radius,
            damping=self.damping,
            dimension=sum(leaf.size for leaf in jax.tree.leaves(run.params)),
            shift=shift,
        )
        return bound, assumptions + scale


@partial(jax.jit, static_argnames="settings")
def _step(
    run: Run, retained: jax.Array, damping: jax.Array, key: Key, settings: tuple[str, str, Solver]
) -> tuple[Params, Solution, jax.Array, jax.Array]:
    """(parameters, solution, relative residual on the full retained data, ‖v − grad L(w, retained)‖)."""
    gradient, curvature, solver = settings
    problem, recipe, params, data = run.problem, run.recipe, run.params, run.problem.data
    size, product = getattr(solver, "batch_size", None), CURVATURES[curvature]

    visited = jnp.zeros(len(data), bool).at[run.schedule.indices].max(run.schedule.weights != 0)

    def shares(mask: jax.Array) -> jax.Array:
        kept = mask & visited
        return kept / jnp.sum(visited if recipe.denominator == "batch" else kept)

    def gradient_of(weights: jax.Array) -> Params:
        return streamed(lambda batch, w: jax.grad(problem.risk)(params, batch, w), data, weights)

    def operator(v: Params, key: Key, size: int | None = None) -> Params:
        def part(batch: Any, weights: jax.Array) -> Params:
            return product(problem, params, v, batch, weights)

        weights = shares(retained)
        risk = streamed(part, data, weights) if size is None else sampled(part, data, weights, size, key)
        return optax.tree.add_scale(risk, recipe.weight_decay, v)

    full: Operator = damped(operator, damping)
    decay = optax.tree.scale(recipe.weight_decay, params)
    retained_gradient = optax.tree.add(gradient_of(shares(retained)), decay)
    if gradient == "retained":
        v = retained_gradient
    elif gradient == "forgotten" and recipe.denominator == "retained":
        forgotten = run.present & ~retained
        odds = jnp.sum(forgotten) / jnp.sum(retained)
        v = optax.tree.scale(-odds, optax.tree.add(gradient_of(shares(forgotten)), decay))
    else:
        v = gradient_of(shares(retained) - shares(run.present))
    shift = optax.tree.norm(optax.tree.sub(v, retained_gradient))
    solution = solver(damped(partial(operator, size=size), damping), v, key)
    error = optax.tree.norm(optax.tree.sub(v, full(solution.x, key)))
    norm = optax.tree.norm(v)
    residual = jnp.where(norm > 0, error / jnp.where(norm > 0, norm, 1), 0)
    moved = optax.tree.sub(params, solution.x)
    moved = moved if recipe.radius is None else projection_l2_ball(moved, recipe.radius)
    return moved, solution, residual, shift
