"""Newton unlearning (Zhang et al., ICML 2024): one damped Newton step on the retained risk."""

from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax.projections import projection_l2_ball

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

    `operator` is "hessian" or "ggn" (positive semi-definite; not the paper's, and without its theorem). Damping is
    added to the product itself. `solver` decides between mini-batches (LiSSA) and the full data; the residual is always
    measured on the full data. `assumed`: the constants of the paper's bound; without them, or without a ball, there is
    no theorem. Every retained example counts once, whatever its weights in the schedule.
    Source: Zhang et al. 2024, Algorithm 1.  Differs: projected after the step; damped by product, not in the loss.
    """

    damping: float = 0.1
    solver: Solver = _CG
    gradient: str = "difference"
    operator: str = "hessian"
    assumed: NewtonConstants | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.damping, Real) and 0 <= float(self.damping) < float("inf")):
            raise BadInput(f"damping must be a number of at least 0, got {self.damping}")
        if not (callable(self.solver) and hasattr(self.solver, "verify")):
            raise BadInput(f"solver must be one of solvers/ (Dense(), CG(), LiSSA()), got {self.solver!r}")
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
        request = run.check(request)
        settings = (self.gradient, self.operator, self.solver)
        with Stopwatch() as watch:
            params, solution, norms, counts = jax.block_until_ready(
                _step(run, run.retained(request), jnp.asarray(self.damping), key, settings)
            )
        if not int(counts):
            raise BadInput("no example that training visited is left; there is nothing to retain")
        self.solver.verify(solution)
        facts = {name: float(value) for name, value in norms.items()}
        if not np.isfinite([facts["error"], facts["gradient"], facts["norm"]]).all():
            raise Diverged("the Newton step is not finite; raise damping (or scale, for LiSSA)")
        bound, assumptions = self._bound(run, facts, float(solution.highest))
        random = isinstance(self.solver, LiSSA)
        cost = {
            "seconds": watch.seconds,
            "compile_seconds": watch.compile_seconds,
            "residual": facts["error"] / facts["gradient"] if facts["gradient"] else 0.0,
            "solver_steps": float(solution.steps),
        }
        return Update(
            params=params,
            method="newton",
            reference=self._reference(bound),
            bound=bound,
            uniform=random and facts["shift"] == 0,
            failure_probability=self.assumed.failure_probability if self.assumed and random and bound else 0.0,
            radius=run.recipe.radius,
            assumptions=assumptions,
            cost=cost,
        )

    def _reference(self, bound: float | None) -> str:
        if bound is None or self.assumed is None:
            return REPLAY if self.gradient == "difference" else MINIMISER
        residual = self.assumed.gradient_residual
        return f"a point of the ball where the retained risk has gradient norm <= G = {residual:g}"

    def _bound(self, run: Run, facts: dict[str, float], top: float) -> tuple[float | None, tuple[Assumption, ...]]:
        """The theorem where it applies: constants given, the Hessian itself, and a model inside its ball."""
        radius = run.recipe.radius
        if self.assumed is None or self.operator != "hessian" or radius is None:
            return None, ()
        if facts["norm"] > radius * (1 + 1e-5):  # left unprojected by another method's request
            return None, ()
        gap, scale, residual = self.damping + self.assumed.smallest_eigenvalue, (), facts["error"]
        if isinstance(self.solver, LiSSA):
            if gap > 0 and self.solver.depth < self.solver.depth_for(gap):
                return None, ()
            if self.solver.scale < max(1.0, top):  # the lemma's own conditions, seen to fail
                return None, ()
            scale = (Assumption("S", self.solver.scale, "given", "at least the norm of every mini-batch operator"),)
            residual = None
        bound, assumptions = newton_bound(
            self.assumed,
            radius=radius,
            damping=self.damping,
            dimension=sum(leaf.size for leaf in jax.tree.leaves(run.params)),
            weight_decay=run.recipe.weight_decay,
            shift=facts["shift"],
            residual=residual,
        )
        return bound, assumptions + scale


@partial(jax.jit, static_argnames="settings")
def _step(
    run: Run, retained: jax.Array, damping: jax.Array, key: Key, settings: tuple[str, str, Solver]
) -> tuple[Params, Solution, dict[str, jax.Array], jax.Array]:
    """(parameters, solution, norms: of v, of its error v − A x on the full retained data, of its shift from the
    retained gradient, and of the parameters the step starts from; number of retained examples)."""
    gradient, curvature, solver = settings
    problem, recipe, params, data = run.problem, run.recipe, run.params, run.problem.data
    size, product = getattr(solver, "batch_size", None), CURVATURES[curvature]

    visited = jnp.zeros(len(data), bool).at[run.schedule.indices].max(run.schedule.weights != 0)

    def shares(mask: jax.Array) -> jax.Array:
        kept = mask & visited
        return kept / jnp.maximum(jnp.sum(visited if recipe.denominator == "batch" else kept), 1)

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
        odds = jnp.sum(forgotten & visited) / jnp.maximum(jnp.sum(retained & visited), 1)
        v = optax.tree.scale(-odds, optax.tree.add(gradient_of(shares(forgotten)), decay))
    else:
        v = gradient_of(shares(retained) - shares(run.present))
    solution = solver(damped(partial(operator, size=size), damping), v, key)
    norms = {
        "gradient": optax.tree.norm(v),
        "error": optax.tree.norm(optax.tree.sub(v, full(solution.x, key))),
        "shift": optax.tree.norm(optax.tree.sub(v, retained_gradient)),
        "norm": optax.tree.norm(params),
    }
    moved, counts = optax.tree.sub(params, solution.x), jnp.sum(retained & visited)
    return moved if recipe.radius is None else projection_l2_ball(moved, recipe.radius), solution, norms, counts
