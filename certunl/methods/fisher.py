"""Fisher forgetting (Golatkar et al. 2020): noise where the retained examples do not pin the parameters down."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from certunl.base import Key, Params
from certunl.certificates.update import Unlearner, Update
from certunl.errors import positive
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.curvature import fisher_diagonal
from certunl.training.risk import Risk
from certunl.training.run import Run

__all__ = ["FisherForgetting"]


@dataclass(frozen=True, kw_only=True)
class FisherForgetting(Unlearner):
    """params + alpha (F_r + floor)^(−1/4) · N(0, I), F_r the diagonal of the retained examples' empirical Fisher.

    `alpha` = (lambda sigma²)^(1/4) trades what is forgotten against accuracy; `floor` limits the noise where no
    retained example has a gradient. The noise comes from `key`: a heuristic, NOT CERTIFIED.
    Source: Golatkar, Achille, Soatto 2020, eq. 8.  Differs: the paper's exponent (its code has −1/2); the labels of the
    data, not drawn from the model; no class of its own for whole-class requests.
    """

    alpha: float = 1e-3
    floor: float = 1e-8

    def __post_init__(self) -> None:
        positive(alpha=self.alpha, floor=self.floor)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """One pass over the retained examples' gradients, a few at a time, then noise drawn by `key`."""
        request = run.check(request)
        with Stopwatch() as watch:
            params = jax.block_until_ready(_noised(run, run.retained(request), key, self.alpha, self.floor))
        return updated(run, params, watch, "fisher")


@partial(jax.jit)
def _noised(run: Run, retained: jax.Array, key: Key, alpha: float, floor: float) -> Params:
    risk = Risk(run)
    diagonal = fisher_diagonal(run.problem, run.params, run.problem.data, risk.shares(retained))
    noise = optax.tree.random_like(key, run.params)
    return jax.tree.map(
        lambda p, f, z: p + alpha * (jnp.maximum(f, 0) + floor) ** -0.25 * z, run.params, diagonal, noise
    )
