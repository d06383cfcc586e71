"""What the two exact second-order baselines share: their settings, their solver, and the damping they would need."""

from functools import partial
from typing import Any

import jax

from certunl.base import Key, Params, width
from certunl.errors import BadInput, Diverged, nonnegative, one_of, whole
from certunl.solvers import CG, Dense, Solver
from certunl.training.curvature import CURVATURES, extreme_eigenvalues
from certunl.training.risk import Risk
from certunl.training.run import Run

__all__ = ["check", "explained", "refusal", "solver_for"]

_LANCZOS = 64
"""Products spent on the sentence of a refusal."""


def check(method: Any) -> None:
    """Raises BadInput for settings that do not fit."""
    nonnegative(damping=method.damping)
    one_of(CURVATURES, operator=method.operator)
    whole(max_dimension=method.max_dimension)
    solver = method.solver
    if solver is not None and (not isinstance(solver, Solver) or solver.batch_size):
        raise BadInput(f"solver must be Dense(), CG() or None for the one that fits, got {solver!r}")


def solver_for(method: Any, params: Params) -> Solver:
    """The method's solver, else the dense one up to `max_dimension` parameters and conjugate gradients above."""
    if method.solver is not None:
        return method.solver
    return Dense(max_dimension=method.max_dimension) if width(params) <= method.max_dimension else CG()


def refusal(lowest: float, damping: float) -> Diverged:
    """The sentence for a curvature with an eigenvalue of at most `lowest`, which `damping` does not lift."""
    return Diverged(
        f"the curvature is not positive definite: its smallest eigenvalue is at most {lowest:.4g}, which damping "
        f'{damping:.4g} does not lift; give a damping above {-lowest:.4g}, or use operator="ggn"'
    )


def explained(error: Diverged, run: Run, mask: jax.Array, damping: float, operator: str, key: Key) -> Diverged:
    """The refusal where Lanczos finds a curvature of the risk over `mask` that `damping` does not lift; or `error`."""
    lowest = float(_lowest(run, mask, key, operator))
    return refusal(lowest, damping) if lowest + damping <= 0 else error


@partial(jax.jit, static_argnames="operator")
def _lowest(run: Run, mask: jax.Array, key: Key, operator: str) -> jax.Array:
    risk = Risk(run)

    def product(v: Params, key: Key) -> Params:
        return risk.product(run.params, v, mask, operator)

    return extreme_eigenvalues(product, run.params, key, _LANCZOS)[0]
