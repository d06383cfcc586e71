"""What the two exact second-order baselines share: their settings, their solver, and the damping they would need."""

import math
from functools import partial
from numbers import Integral, Real
from typing import Any

import jax

from certunl.base import Key, Params
from certunl.errors import BadInput, Diverged
from certunl.solvers import CG, Dense, Solver
from certunl.training.curvature import CURVATURES, extreme_eigenvalues
from certunl.training.risk import Risk
from certunl.training.run import Run

__all__ = ["check", "dimension", "explained", "refusal", "solver_for"]

_LANCZOS = 64
"""Products spent on the sentence of a refusal."""


def check(method: Any) -> None:
    """Raises BadInput for settings that do not fit."""
    if not (isinstance(method.damping, Real) and 0 <= float(method.damping) < math.inf):
        raise BadInput(f"damping must be a number of at least 0, got {method.damping!r}")
    if method.operator not in CURVATURES:
        raise BadInput(f"operator must be one of {', '.join(CURVATURES)}, got {method.operator!r}")
    if not (isinstance(method.max_dimension, Integral) and int(method.max_dimension) >= 1):
        raise BadInput(f"max_dimension must be a whole number of at least 1, got {method.max_dimension!r}")
    solver = method.solver
    if solver is not None and (not isinstance(solver, Solver) or solver.batch_size):
        raise BadInput(f"solver must be Dense(), CG() or None for the one that fits, got {solver!r}")


def dimension(params: Params) -> int:
    """d."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def solver_for(method: Any, params: Params) -> Solver:
    """The method's solver, else the dense one up to `max_dimension` parameters and conjugate gradients above."""
    if method.solver is not None:
        return method.solver
    return Dense(max_dimension=method.max_dimension) if dimension(params) <= method.max_dimension else CG()


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
