"""The first-order effect of forgetting each unit on a quantity, from one backward pass through training."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Params
from certunl.errors import BadInput
from certunl.rows.gathering import answers
from certunl.training import sensitivity
from certunl.training.problem import Dataset
from certunl.training.run import Run
from certunl.training.streaming import microbatch, streamed

__all__ = ["attribute", "loss_changes"]


def attribute(run: Run, query: Params) -> jax.Array:
    """f[m]: ⟨query, a_u⟩ for every unit u of the data, a_u being the row of `HessianFree`.

    To first order this is the change of ⟨query, params⟩ when unit u is forgotten. The units are the examples in
    order, or the owners in increasing order. The call takes one forward pass over training and the time of about two
    more backward. It recomputes the trajectory from √T of its states, so memory grows with the square root of the
    number of steps T. Units forgotten earlier get a value as well: the effect of leaving them out of training on all
    examples.

    Args:
        run: the training run.
        query: the direction, a pytree like params.

    Raises: BadInput if the query's shapes are not those of params; Diverged if the derivative is not finite.
    Source: Qiao et al. 2025, eq. 8, transposed (the adjoint recursion).
    """
    run.need_history("an attribution")
    run.need_one_model("an attribution")
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (query, run.params)]
    if shapes[0] != shapes[1]:
        raise BadInput(f"the query must have the shapes of the parameters, {shapes[1]}, got {shapes[0]}")
    owners = run.problem.data.owners
    units, numbers = np.unique(np.arange(len(run.present)) if owners is None else owners, return_inverse=True)
    queries = jax.tree.map(lambda q, p: jnp.asarray(q, p.dtype)[None], query, run.params)
    values = answers(run, jnp.asarray(numbers), queries, len(units))[0]
    sensitivity.check_finite(values)
    if any(np.asarray(leaf).any() for leaf in jax.tree.leaves(query)):
        sensitivity.warn_of_zeros(run, values)
    return values


def loss_changes(run: Run, data: Dataset) -> jax.Array:
    """f[m]: the first-order change of the mean loss on `data` when each unit is forgotten (see `attribute`).

    Args:
        run: the training run.
        data: the examples on which the loss is measured, such as a test set.

    Raises: BadInput for data that are not like the training data, and the errors of `attribute`.
    """
    data = run.problem.admit(data, "the data")
    return attribute(run, _gradient(run, data))


@jax.jit
def _gradient(run: Run, data: Any) -> Params:
    gradient = jax.grad(run.problem.risk)
    weights = jnp.full(len(data), 1 / len(data))
    size = microbatch(run.problem, run.params)
    return streamed(lambda batch, w: gradient(run.params, batch, w), data, weights, size)
