"""Certified removal as published (Guo et al., ICML 2020): noise in the objective, before anyone asks."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import optax
from flax import struct

from certunl.base import Key, Params, Progress
from certunl.bounds import theorems
from certunl.bounds.linear_risk import linear_risk
from certunl.certificates.calibration import secret_key
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, positive
from certunl.methods._descent import check, descend, tolerance_of
from certunl.methods._updated import updated
from certunl.rows.origin import Origin
from certunl.solvers import CG, Solver
from certunl.timing import Stopwatch
from certunl.training.run import Run

__all__ = ["PerturbedRemoval"]

_CG = CG(tol=1e-2)


@struct.dataclass
class Perturbed:
    """The perturbation `b` of an objective and its minimiser: secret, both of them.

    `origin` says of which run they are, and with which noise b was drawn.
    """

    b: Params
    params: Params
    origin: Origin = struct.field(pytree_node=False)


@dataclass(frozen=True, kw_only=True)
class PerturbedRemoval(Unlearner):
    """`CertifiedRemoval` on F_b(w; S) = L(w, S) + <b, w>/n_S, with b ~ N(0, objective_noise² I).

    Nothing is added to the release.

    `prepare` draws b from the system's entropy and finds the minimiser of F_b over everyone; `forget` takes its steps
    on F_b over the retained. The guarantee is the `Pairs` that the paper states of n_S tolerance and objective_noise
    (`bounds.residual.published_pairs`). Its argument takes the remaining gradient for independent of b, which it is not
    (tests/methods/test_perturbed_objective.py has a case where the claimed delta is exceeded): CONDITIONAL at best. One
    b serves one release, so there is no theorem for a run in which anyone was forgotten before.

    Args:
        objective_noise: standard deviation of b, in the paper's units: those of the sum n_S F_b over the examples, n_S
            being the divisor of L. Default 1.
        tolerance: the norm of the gradient of F_b that may be left. Default: mu/100, mu the strong convexity.
        steps: the most Newton steps that are tried. Default 30.
        solver: `CG` or `Dense`, which solve on the full data.

    Source: Guo et al. 2020, algorithm 1.  Differs: all residuals are measured, and several steps are taken.
    """

    serves_once: ClassVar[bool] = True

    objective_noise: float = 1.0
    tolerance: float | None = None
    steps: int = 30
    solver: Solver = _CG

    def __post_init__(self) -> None:
        positive(objective_noise=self.objective_noise)
        check(self)

    def prepare(self, run: Run, *, progress: Progress | None = None) -> Perturbed:
        """b and the minimiser of everyone's F_b. Keep it secret, and release it once."""
        _allow(run)
        draw_key, solver_key = jax.random.split(secret_key())
        b = optax.tree.random_like(draw_key, run.params, sampler=jax.random.normal)
        b = jax.tree.map(lambda leaf: self.objective_noise * leaf, b)
        risk = linear_risk(run, run.present)
        end = descend(risk, run.params, b, tolerance_of(self, risk), int(self.steps), self.solver, solver_key)
        return Perturbed(b, end.params, self._origin(run))

    def forget(self, run: Run, prepared: Perturbed | None, request: Any, key: Key) -> Update:
        """`key` is for a solver that draws. Raises: Diverged where `steps` do not reach the tolerance; BadInput for
        other problems, without weight decay or l2, and without what `prepare` gives."""
        risk = linear_risk(run, run.retained(run.check(request)))
        _allow(run)
        if not isinstance(prepared, Perturbed):
            raise BadInput("objective_noise needs prepared = method.prepare(run), in the library: its b is a secret")
        if not self._origin(run).same(prepared.origin):
            raise BadInput("this perturbation belongs to another run, or to another objective_noise; prepare this one")
        tolerance = tolerance_of(self, risk)
        with Stopwatch() as watch:
            end = descend(risk, prepared.params, prepared.b, tolerance, int(self.steps), self.solver, key)
        guarantee = theorems.perturbed_objective(risk, tolerance, self.objective_noise)
        return updated(run, end.params, watch, "perturbed_removal", guarantee, cost=end.cost)

    def _origin(self, run: Run) -> Origin:
        return Origin.of(run, f"perturbed objective, noise {float(self.objective_noise)!r}")


def _allow(run: Run) -> None:
    if run.recipe.radius is not None:
        raise BadInput("a perturbed objective has its minimiser anywhere: objective_noise needs a run without radius")
