"""Newton unlearning (Zhang et al., ICML 2024): damped Newton steps on the retained risk."""

import math
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral, Real
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax.projections import projection_l2_ball

from certunl import rooms
from certunl.bounds._constants import NewtonConstants
from certunl.certificate import MINIMISER, REPLAY, Update
from certunl.curvature import CURVATURES, damped, extreme_eigenvalues
from certunl.methods._newton_bound import distance
from certunl.methods._updated import updated
from certunl.risk import Risk
from certunl.solvers import CG, LiSSA
from certunl.timing import Stopwatch
from certunl.training import Run
from certunl.typing import BadInput, Diverged, Key, Operator, Params, Progress, Solution, Solver

__all__ = ["Newton"]

_CG = CG()
_SAMPLE, _LANCZOS = 1024, 24
"""Examples on which the spectrum is looked at, and products spent on it."""


@dataclass(frozen=True, kw_only=True)
class Newton:
    """w~ = project(w − (H + damping I)⁻¹ v), H the curvature of the retained risk (`risk.Risk`) at the trained w.

    `gradient` chooses v:

    * "difference": grad L(w, retained) − grad L(w, present): what forgetting changes (default; equal to the next two
      at a stationary point, and the only one that is 0 for an empty request elsewhere);
    * "retained": grad L(w, retained), the authors' code; it also goes on training;
    * "forgotten": −(k/(n−k)) grad L(w, forgotten), the paper's formula; for `denominator="batch"`, where the forgotten
      leave an unchanged divisor, −(1/n) sum of their gradients: "difference" again.

    `operator` is "hessian", "ggn" or "fisher" (positive semi-definite; not the paper's, and without its theorem).
    `damping`, added to the product itself, is by default the larger of

    * 1/(sum of the run's rates) for "difference": training stopped after rate-time T has reached the share
      1 − exp(−m T) of a change along an eigenvalue m, as m/(m + 1/T) nearly does; for the other forms, and optimizers
      other than sgd and momentum, 1/1000 of the largest eigenvalue;
    * 1.5 times the most negative eigenvalue met by Lanczos on 1,024 retained examples.

    `solver` decides between mini-batches (LiSSA) and the full data; the residual is always measured on the full data.
    `fallback` ("cg" or "dense") solves again where `solver` diverged. `steps` > 1 repeats the step from where it led.
    `assumed`: the constants of the bound, or "linear" for those in closed form (`bounds.linear`); without them, or
    with neither a ball nor convexity, there is no theorem. `inverse` is the statement used for LiSSA's error:
    "dimension_free" or the paper's "printed" one.
    Source: Zhang et al. 2024, Algorithm 1.  Differs: projected after the step; damped by product, not in the loss.
    """

    damping: float | None = None
    solver: Solver = _CG
    gradient: str = "difference"
    operator: str = "hessian"
    steps: int = 1
    fallback: str | None = None
    assumed: NewtonConstants | str | None = None
    inverse: str = "dimension_free"

    def __post_init__(self) -> None:
        if self.damping is not None and not (isinstance(self.damping, Real) and 0 <= float(self.damping) < math.inf):
            raise BadInput(f"damping must be a number of at least 0, or None to measure it, got {self.damping}")
        if not (callable(self.solver) and hasattr(self.solver, "verify")):
            raise BadInput(f"solver must be one of solvers/ (Dense(), CG(), LiSSA()), got {self.solver!r}")
        if not (isinstance(self.steps, Integral) and self.steps >= 1):
            raise BadInput(f"steps must be a whole number of at least 1, got {self.steps!r}")
        for name, known in (
            ("gradient", ("difference", "retained", "forgotten")),
            ("operator", tuple(CURVATURES)),
            ("inverse", ("dimension_free", "printed")),
            ("fallback", (None, "cg", "dense")),
        ):
            if getattr(self, name) not in known:
                raise BadInput(f"{name} must be one of {', '.join(map(str, known))}, got {getattr(self, name)!r}")
        if self.steps > 1 and self.gradient == "forgotten":
            raise BadInput('gradient="forgotten" takes one step: a second would remove the request again')
        if not (self.assumed is None or isinstance(self.assumed, NewtonConstants) or self.assumed == "linear"):
            raise BadInput(f'assumed must be NewtonConstants(...) or "linear", got {self.assumed!r}')

    def prepare(self, run: Run, *, progress: Progress | None = None) -> None:
        """Nothing to prepare."""

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """One program: spectrum, gradient, solve, residual on the full data, step, projection.

        Raises: Diverged with the measured facts when the solver says so, the result is not finite or the Hessian is
        indefinite under its damping; BadInput where fewer examples are left than one of the solver's mini-batches.
        """
        request = run.check(request)
        with Stopwatch() as watch:
            params, solution, facts, cost = self._solve(run, run.retained(request), key)
        theorem = distance(self, run, facts, solution)
        replayed = REPLAY if self.gradient == "difference" else MINIMISER
        return updated(run, params, watch, **{"method": "newton", "reference": replayed, "cost": cost} | theorem)

    def _solve(
        self, run: Run, retained: jax.Array, key: Key
    ) -> tuple[Params, Solution, dict[str, float], dict[str, float]]:
        """(parameters, last solution, its facts, what to report), verified; by the fallback where that is needed."""
        settings = _Settings(self.solver, self.gradient, self.operator, self.steps)
        params, solutions, seen = jax.block_until_ready(_steps(run, retained, key, self.damping, settings))
        if getattr(self.solver, "devices", 1) > 1:  # back to where the run is, committed to no device
            params, solutions, seen = jax.tree.map(lambda a: jnp.asarray(np.asarray(a)), (params, solutions, seen))
        size, left = getattr(self.solver, "batch_size", 1), int(seen["left"][0])
        if not left:
            raise BadInput("no example that training visited is left; there is nothing to retain")
        if left < size:
            raise BadInput(
                f"{left} examples that training visited are left, fewer than one mini-batch of {size}: lower "
                "solver.batch_size, use CG, or retrain"
            )
        solution, facts = solutions, {}
        try:
            for taken in range(self.steps):
                solution, facts = jax.tree.map(lambda a, i=taken: a[i], (solutions, seen))
                facts = {name: float(value) for name, value in facts.items()}
                self.solver.verify(solution)
                _verify(facts)
        except Diverged:
            if self.fallback is None:
                raise
            again = replace(self, solver=rooms.build("solvers", self.fallback), fallback=None)
            params, solution, facts, cost = again._solve(run, retained, key)
            return params, solution, facts, cost | {"fallback": 1.0}
        cost = {
            "residual": facts["error"] / facts["gradient"] if facts["gradient"] else 0.0,
            "solver_steps": float(solution.steps),
            "damping": facts["damping"],
        }
        if isinstance(self.solver, LiSSA):
            scale = float(solution.scale)
            cost |= {"scale": scale, "depth_for_1%": LiSSA.depth_for(facts["lowest"] + facts["damping"], scale)}
        return params, solution, facts, cost


class _Settings(NamedTuple):
    """What the program depends on, beside its arrays."""

    solver: Solver
    gradient: str
    operator: str
    steps: int


def _verify(facts: dict[str, float]) -> None:
    if not np.isfinite([facts["error"], facts["gradient"], facts["norm"]]).all():
        raise Diverged("the Newton step is not finite; raise damping (or scale, for LiSSA)")
    if facts["error"] > 3 * facts["gradient"]:
        raise Diverged(
            f"the solution leaves {facts['error'] / facts['gradient']:.3g} times the right side, where none at all "
            "leaves 1: mini-batches are too small or scale too low; raise scale, damping or solver.batch_size"
        )
    low, damping = facts["lowest"], facts["damping"]
    if low + damping < -1e-5 * facts["highest"]:  # beyond rounding
        raise Diverged(
            f"the Hessian is indefinite: its smallest eigenvalue is at most {low:.4g} on a sample of the retained "
            f"examples and damping {damping:.4g} does not lift it; raise damping above {-low:.4g}, "
            'leave it to be measured, or use operator="ggn"'
        )
    if facts["along"] < 0:
        raise Diverged(
            f"the Hessian is indefinite: the damped curvature along the solution is {facts['along']:.4g}; raise "
            'damping, or use operator="ggn"'
        )


@partial(jax.jit, static_argnames="settings")
def _steps(
    run: Run, retained: jax.Array, key: Key, damping: jax.Array | float | None, settings: _Settings
) -> tuple[Params, Solution, dict[str, jax.Array]]:
    """(parameters, for each step [steps]: its solution without x, its facts)."""
    spectrum_key, steps_key = jax.random.split(key)
    risk, size = Risk(run), getattr(settings.solver, "batch_size", 0)
    lowest = highest = jnp.asarray(jnp.inf)
    if size or damping is None:
        sample = _SAMPLE if len(retained) > _SAMPLE else 0

        def product(v: Params, k: Key) -> Params:
            return risk.product(run.params, v, retained, settings.operator, k, sample)

        lowest, highest = extreme_eigenvalues(product, run.params, spectrum_key, _LANCZOS)
    if damping is None:
        damping = jnp.maximum(_floor(run, settings.gradient, highest), -1.5 * lowest)
    scalar = optax.tree.norm(run.params)
    common = {"lowest": lowest, "highest": highest, "damping": damping, "left": risk.count(retained)}
    common["visited"] = jnp.sum(risk.visited())
    common = {name: jnp.asarray(value, scalar.dtype) for name, value in common.items()}

    def advance(params: Params, k: Key) -> tuple[Params, tuple[Solution, dict[str, jax.Array]]]:
        params, solution, facts = _step(risk, params, retained, common["damping"], k, settings, size)
        return params, (replace(solution, x=None), facts | common)

    params, (solutions, facts) = jax.lax.scan(advance, run.params, jax.random.split(steps_key, settings.steps))
    return params, solutions, facts


def _floor(run: Run, gradient: str, highest: jax.Array) -> jax.Array:
    """The least automatic damping."""
    inertia = {"sgd": 1.0, "momentum": 0.1}.get(run.recipe.optimizer) if isinstance(run.recipe.optimizer, str) else None
    if gradient != "difference" or inertia is None:
        return 1e-3 * highest
    return inertia / jnp.sum(run.schedule.rates)


def _step(
    risk: Risk, params: Params, retained: jax.Array, damping: jax.Array, key: Key, settings: _Settings, size: int
) -> tuple[Params, Solution, dict[str, jax.Array]]:
    """(parameters, solution, norms: of v, of its error v − A x on the full retained data, of its shift from the
    retained gradient, of that gradient, and of `params`; the curvature x'Ax/x'x along the solution)."""
    run, recipe = risk.run, risk.run.recipe
    slope = risk.gradient(params, retained)
    if settings.gradient == "retained":
        v = slope
    elif settings.gradient == "forgotten" and recipe.denominator == "retained":
        forgotten = run.present & ~retained
        odds = risk.count(forgotten) / jnp.maximum(risk.count(retained), 1)
        v = optax.tree.scale(-odds, risk.gradient(params, forgotten))
    elif settings.steps == 1:  # one sum, no difference of two large ones
        v = risk.sum_gradient(params, risk.shares(retained) - risk.shares(run.present))
    else:
        v = optax.tree.sub(slope, risk.gradient(run.params, run.present))

    def operator(u: Params, k: Key, size: int = 0) -> Params:
        return risk.product(params, u, retained, settings.operator, k, size)

    full: Operator = damped(operator, damping)
    solution = settings.solver(damped(partial(operator, size=size), damping), v, key)
    x, image = solution.x, full(solution.x, key)
    square = optax.tree.vdot(x, x)
    facts = {
        "gradient": optax.tree.norm(v),
        "error": optax.tree.norm(optax.tree.sub(v, image)),
        "shift": optax.tree.norm(optax.tree.sub(v, slope)),
        "slope": optax.tree.norm(slope),
        "norm": optax.tree.norm(params),
        "step": jnp.sqrt(square),
        "along": jnp.asarray(optax.tree.vdot(x, image)) / jnp.where(square == 0, 1, square),
    }
    moved = optax.tree.sub(params, x)
    return moved if recipe.radius is None else projection_l2_ball(moved, recipe.radius), solution, facts
