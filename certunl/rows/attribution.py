"""What forgetting each unit would do to a quantity, for all units at once, from one pass backwards through training."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Params
from certunl.errors import BadInput
from certunl.training import sensitivity
from certunl.training.problem import Dataset
from certunl.training.run import Run
from certunl.training.streaming import microbatch, streamed

__all__ = ["attribute", "loss_changes"]


def attribute(run: Run, query: Params) -> jax.Array:
    """f[m]: ⟨query, a_u⟩ for every unit u of the data (examples in order, or owners in increasing order), a_u the row
    of `HessianFree`: to first order, how much ⟨query, params⟩ changes when u is forgotten.

    `query` is a pytree like params. One pass over training forward and about two more back; the trajectory is
    recomputed from √T of its states, so memory grows with the square root of the number of steps T.
    Those already forgotten have a value too: it is what leaving them out does to training with everyone.
    Raises: BadInput where the query is not like params; Diverged where the derivative left the finite numbers.
    Source: Qiao et al. 2025, eq. 8, transposed (the adjoint recursion).
    """
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (query, run.params)]
    if shapes[0] != shapes[1]:
        raise BadInput(f"a query has the shapes of the parameters, {shapes[1]}, got {shapes[0]}")
    owners = run.problem.data.owners
    known, numbers = np.unique(np.arange(len(run.present)) if owners is None else owners, return_inverse=True)
    queries = jax.tree.map(lambda q, p: jnp.asarray(q, p.dtype)[None], query, run.params)
    values = sensitivity.adjoint(run, jnp.asarray(numbers), queries, len(known))[0]
    sensitivity.check_finite(values)
    return values


def loss_changes(run: Run, data: Dataset) -> jax.Array:
    """f[m]: to first order, how much the mean loss on `data` changes when each unit is forgotten (see `attribute`)."""
    data = jax.tree.map(jnp.asarray, data)
    return attribute(run, _gradient(run, data))


@jax.jit
def _gradient(run: Run, data: Any) -> Params:
    gradient = jax.grad(run.problem.risk)
    weights = jnp.full(len(data), 1 / len(data))
    size = microbatch(run.problem, run.params)
    return streamed(lambda batch, w: gradient(run.params, batch, w), data, weights, size)
