"""Fisher forgetting (Golatkar et al. 2020): most noise on parameters that the retained examples determine least."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from certunl.base import Key, Params
from certunl.certificates.update import Unlearner, Update
from certunl.errors import plain_numbers, positive
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.curvature import fisher_diagonal
from certunl.training.risk import Risk
from certunl.training.run import Run

__all__ = ["FisherForgetting"]


@dataclass(frozen=True, kw_only=True)
class FisherForgetting(Unlearner):
    """params + alpha (F_r + floor)^(−1/4) · N(0, I), F_r the diagonal of the retained examples' empirical Fisher.

    The method is a heuristic: its updates are NOT CERTIFIED.

    Args:
        alpha: scale of the noise, (lambda sigma²)^(1/4) in the paper. A larger value forgets more and costs accuracy.
        floor: limits the noise on parameters for which no retained example has a gradient. A larger value means less
            noise.

    Source: Golatkar, Achille, Soatto 2020, eq. 8.  Differs: the exponent is the paper's (its code has −1/2); the labels
    are those of the data, not drawn from the model; whole-class requests are treated like all others.
    """

    alpha: float = 1e-3
    floor: float = 1e-8

    def __post_init__(self) -> None:
        plain_numbers(self)
        positive(alpha=self.alpha, floor=self.floor)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """The update after one pass over the retained gradients, a few at a time, with noise drawn from `key`."""
        request = run.check(request, key)
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
