"""The measured contraction of each step of a run, for models without a closed form. It is an estimate from below."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key, Params
from certunl.errors import BadInput
from certunl.training.curvature import extreme_eigenvalues
from certunl.training.loop import step
from certunl.training.run import Run

__all__ = ["measured_contractions"]


def measured_contractions(run: Run, key: Key, *, gone: Any = None, steps: int = 16) -> np.ndarray:
    """f[t]: ‖I − rate_t H_t‖ at the parameters w_t of `run`, H_t being the batch's Hessian with weight decay.

    If `gone bool[n]` is set, the step leaves out these examples, but stays at w_t. The norm is the largest Ritz value
    of `steps` Lanczos products, so it never exceeds the true value. It holds only at the w_t themselves, and the
    bounds need a whole region. So it is an estimate; name it in `HessianFreeConstants.estimated`. One program
    computes `steps` Hessian products for each training step.
    Raises: BadInput for a step that is not plain SGD, because its derivative is not symmetric.
    """
    run.need_history("the contraction of its steps")
    recipe = run.recipe
    if recipe.optimizer != "sgd" or recipe.clip_norm is not None or recipe.radius is not None:
        raise BadInput("contractions are measured for plain SGD, without clip_norm and radius")
    gone = jnp.zeros(len(run.problem.data), bool) if gone is None else jnp.asarray(gone)
    return np.asarray(_measure(run, gone, key, steps), np.float64)


@jax.jit(static_argnames="steps")
def _measure(run: Run, gone: jax.Array, key: Key, steps: int) -> jax.Array:
    def body(state: Any, slot: tuple[Any, Key]) -> tuple[Any, jax.Array]:
        row, k = slot
        params, memory = state

        def moved(p: Params) -> Params:
            presence = 1.0 - gone[row.indices].astype(row.weights.dtype)
            return step(run.problem, run.recipe, (p, memory), row, presence)[0][0]

        _, tangent = jax.linearize(moved, params)
        low, high = extreme_eigenvalues(lambda v, _: tangent(v), params, k, steps)
        state = step(run.problem, run.recipe, state, row, jnp.ones_like(row.weights))[0]
        return state, jnp.maximum(jnp.abs(low), jnp.abs(high))

    keys = jax.random.split(key, len(run.schedule))
    return jax.lax.scan(body, run.recipe.begin(run.start), (run.schedule, keys))[1]
