"""An influence-function step with a diagonal Hessian: one division per parameter."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax.projections import projection_l2_ball

from certunl.base import Key, Params
from certunl.certificates.update import Unlearner, Update
from certunl.errors import one_of, plain_numbers, positive, whole
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.curvature import CURVATURES, hutchinson_diagonal
from certunl.training.risk import Risk
from certunl.training.run import Run

__all__ = ["DiagonalInfluence"]


@dataclass(frozen=True, kw_only=True)
class DiagonalInfluence(Unlearner):
    """project(w − v/(max(h, 0) + damping)), v = grad L(w, retained) − grad L(w, present).

    h estimates the diagonal of the retained risk's curvature from products with random signs (Hutchinson). The updates
    are NOT CERTIFIED, because the diagonal is no bound on the Hessian.

    Args:
        damping: added to each entry of the diagonal. A larger one gives a shorter step. Default: the largest |h|, with
            which no parameter moves farther than by a gradient step of rate 1/largest |h|. A tenth of it forgets a
            class, and can destroy the model.
        probes: number of products. More of them give a less noisy h.
        operator: the curvature, "hessian", "ggn" or "fisher".

    Source: Koh and Liang 2017, eq. 1, with the diagonal of Bekas et al. 2007 for the Hessian.
    """

    damping: float | None = None
    probes: int = 16
    operator: str = "hessian"

    def __post_init__(self) -> None:
        plain_numbers(self)
        positive("to measure it", damping=self.damping)
        whole(probes=self.probes)
        one_of(CURVATURES, operator=self.operator)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """The update after the step, with random signs drawn from `key`."""
        request = run.check(request, key)
        with Stopwatch() as watch:
            params = jax.block_until_ready(
                _step(run, run.retained(request), key, self.damping, self.probes, self.operator)
            )
        return updated(run, params, watch, "influence")


@partial(jax.jit, static_argnames=("probes", "operator"))
def _step(run: Run, retained: jax.Array, key: Key, damping: Any, probes: int, operator: str) -> Params:
    risk = Risk(run)

    def product(v: Params, key: Key) -> Params:
        return risk.product(run.params, v, retained, operator)

    diagonal = hutchinson_diagonal(product, run.params, key, probes)
    if damping is None:
        largest: Any = optax.tree.norm(diagonal, ord="inf")
        damping = jnp.where(largest > 0, largest, 1)
    v = risk.sum_gradient(run.params, risk.shares(retained) - risk.shares(run.present))
    moved = jax.tree.map(lambda p, g, h: p - g / (jnp.maximum(h, 0) + damping), run.params, v, diagonal)
    return moved if run.recipe.radius is None else projection_l2_ball(moved, run.recipe.radius)
