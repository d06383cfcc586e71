"""The derivative of training with respect to who is in the data, along the whole schedule."""

from typing import Any

import jax
import jax.numpy as jnp

from certunl.training import Run, step
from certunl.typing import Params

__all__ = ["block", "vector"]


def _tangents(run: Run, slot: Any, state: Any) -> tuple[Any, Any]:
    """One step and its derivative: (state', linear map (d state, d presence) -> d state').

    The optimizer's integer state (step counts) has no tangent, so derivatives run over the list of float leaves.
    """
    leaves, structure = jax.tree.flatten(state)
    inexact = [jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves]

    def forward(floats: list[jax.Array], presence: jax.Array) -> tuple[list[jax.Array], list[jax.Array]]:
        given = iter(floats)
        merged = [next(given) if is_float else leaf for leaf, is_float in zip(leaves, inexact, strict=True)]
        after = jax.tree.leaves(step(run.problem, run.recipe, jax.tree.unflatten(structure, merged), slot, presence)[0])
        return [a for a, f in zip(after, inexact, strict=True) if f], after

    floats = [leaf for leaf, is_float in zip(leaves, inexact, strict=True) if is_float]
    _, linear, after = jax.linearize(forward, floats, jnp.ones_like(slot.weights), has_aux=True)
    return jax.tree.unflatten(structure, after), linear


@jax.jit
def block(run: Run, owners: jax.Array, units: jax.Array) -> Params:
    """Rows of `units i32[c]` (−1: a row of zeros), a pytree like params with leading axis c."""
    state = run.recipe.begin(run.start)
    floats = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    rows = [jnp.zeros((units.size, *leaf.shape), leaf.dtype) for leaf in floats]

    def body(carry: Any, slot: Any) -> tuple[Any, None]:
        state, rows = carry
        state, linear = _tangents(run, slot, state)
        removed = -(units[:, None] == owners[slot.indices]).astype(slot.weights.dtype)
        return (state, jax.vmap(linear)(rows, removed)), None

    (_, rows), _ = jax.lax.scan(body, (state, rows), run.schedule)
    params = jax.tree.structure(run.start)
    return jax.tree.unflatten(params, rows[: params.num_leaves])


@jax.jit
def vector(run: Run, gone: jax.Array) -> Params:
    """The sum of the rows of the examples `gone bool[n]`, as one vector along the schedule."""
    everyone = jnp.where(gone, 0, 1).astype(jnp.int32)
    return jax.tree.map(lambda leaf: leaf[0], block(run, everyone, jnp.zeros(1, jnp.int32)))
