"""The checks, the default solver and the refusals that the two exact second-order baselines share."""

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
"""Number of Lanczos products that measure the smallest eigenvalue for an error message."""


def check(method: Any) -> None:
    """Checks the settings of `method`. Raises: BadInput for the first one that does not fit."""
    nonnegative(damping=method.damping)
    one_of(CURVATURES, operator=method.operator)
    whole(max_dimension=method.max_dimension)
    solver = method.solver
    if solver is not None and (not isinstance(solver, Solver) or solver.batch_size):
        raise BadInput(f"solver must be Dense(), CG(), or None to choose by the number of parameters, got {solver!r}")


def solver_for(method: Any, params: Params) -> Solver:
    """The method's solver. Default: `Dense` for at most `max_dimension` parameters, `CG` for more."""
    if method.solver is not None:
        return method.solver
    return Dense(max_dimension=method.max_dimension) if width(params) <= method.max_dimension else CG()


def refusal(lowest: float, damping: float) -> Diverged:
    """The error for a curvature with an eigenvalue of at most `lowest`, which `damping` does not raise above 0."""
    return Diverged(
        f"the curvature is not positive definite: its smallest eigenvalue is at most {lowest:.4g}, and damping "
        f'{damping:.4g} does not raise it above 0; give a damping above {-lowest:.4g}, or use operator="ggn"'
    )


def explained(error: Diverged, run: Run, mask: jax.Array, damping: float, operator: str, key: Key) -> Diverged:
    """A `refusal` if Lanczos finds that the damped curvature of the risk over `mask` is not positive, else `error`."""
    lowest = float(_lowest(run, mask, key, operator))
    return refusal(lowest, damping) if lowest + damping <= 0 else error


@partial(jax.jit, static_argnames="operator")
def _lowest(run: Run, mask: jax.Array, key: Key, operator: str) -> jax.Array:
    risk = Risk(run)

    def product(v: Params, key: Key) -> Params:
        return risk.product(run.params, v, mask, operator)

    return extreme_eigenvalues(product, run.params, key, _LANCZOS)[0]
