"""The derivative of training with respect to who is in the data, along the whole schedule: forward, or backward."""

from collections.abc import Callable
from functools import partial
from math import isqrt
from typing import Any

import jax
import jax.numpy as jnp

from certunl.base import Params, outputs_first, outputs_last
from certunl.errors import Diverged
from certunl.training.loop import step
from certunl.training.run import Run
from certunl.training.schedule import Schedule

__all__ = ["FORMS", "adjoint", "block", "check_finite", "vector"]


Tangents = list[jax.Array]
"""Derivatives of the floating-point leaves of the state (parameters first, then the optimizer's memory; its integers
have none), outputs first: in that order products of a block with a batch need no copy of it."""
Moved = Callable[[Tangents, jax.Array], Tangents]


def _floating(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def _derivative(run: Run, slot: Schedule, state: Any, form: str) -> tuple[Any, Moved]:
    """One step: (state', (a, mask f[b] of a unit's slots) -> a')."""
    leaves, structure = jax.tree.flatten(state)

    def forward(floats: list[jax.Array], presence: jax.Array) -> tuple[list[jax.Array], list[jax.Array]]:
        given = iter(floats)
        merged = [next(given) if _floating(leaf) else leaf for leaf in leaves]
        after = jax.tree.leaves(step(run.problem, run.recipe, jax.tree.unflatten(structure, merged), slot, presence)[0])
        return [leaf for leaf in after if _floating(leaf)], after

    floats = [leaf for leaf in leaves if _floating(leaf)]
    everyone = jnp.ones_like(slot.weights)
    if form == "first_order":
        _, linear, after = jax.linearize(forward, floats, everyone, has_aux=True)

        def moved(a: list[jax.Array], mask: jax.Array) -> list[jax.Array]:
            return linear(a, -mask)
    else:
        here, after = forward(floats, everyone)

        def moved(a: list[jax.Array], mask: jax.Array) -> list[jax.Array]:
            there, change = jax.jvp(lambda s: forward(s, everyone - mask)[0], (floats,), (a,))
            return [c + (t - h) for c, t, h in zip(change, there, here, strict=True)]

    def turned(a: Tangents, mask: jax.Array) -> Tangents:
        return [outputs_first(leaf) for leaf in moved([outputs_last(leaf) for leaf in a], mask)]

    return jax.tree.unflatten(structure, after), turned


@partial(jax.jit, static_argnames="form")
def block(
    run: Run, owners: jax.Array, units: jax.Array, rows: Params | None = None, form: str = "first_order"
) -> tuple[Params, Params]:
    """(rows of `units i32[c]` (−1: nobody's), a pytree like params with leading axis c; the parameters after training).
    `rows` are where they start from.

    "first_order" is a' = (dF/ds) a − (dF/dpresence) 1_u. "retained" puts the step without u in the place of F's
    derivatives, a' = (dF_u/ds) a + F_u(s) − F(s): only the change of the state is linearised, not who is there.
    """
    state = run.recipe.begin(run.start)
    floats = [leaf for leaf in jax.tree.leaves(state) if _floating(leaf)]
    tangents = [jnp.zeros((units.size, *outputs_first(leaf).shape), leaf.dtype) for leaf in floats]
    params = jax.tree.structure(run.start)
    if rows is not None:
        tangents[: params.num_leaves] = [outputs_first(leaf, 1) for leaf in jax.tree.leaves(rows)]

    def body(carry: tuple[Any, Tangents], slot: Schedule) -> tuple[Any, None]:
        state, tangents = carry
        state, moved = _derivative(run, slot, state, form)
        masks = (units[:, None] == owners[slot.indices]).astype(slot.weights.dtype)
        return (state, jax.vmap(moved)(tangents, masks)), None

    (state, tangents), _ = jax.lax.scan(body, (state, tangents), run.schedule)
    kept = [outputs_last(leaf, 1) for leaf in tangents[: params.num_leaves]]
    return jax.tree.unflatten(params, kept), state[0]


@partial(jax.jit, static_argnames="form")
def vector(run: Run, gone: jax.Array, form: str = "first_order") -> tuple[Params, Params]:
    """(the row of the examples `gone bool[n]` as one unit, the parameters after training): for "first_order" the row is
    the sum of theirs."""
    owners = jnp.where(gone, 0, 1).astype(jnp.int32)
    rows, after = block(run, owners, jnp.zeros(1, jnp.int32), form=form)
    return jax.tree.map(lambda leaf: leaf[0], rows), after


@partial(jax.jit, static_argnames="count")
def adjoint(run: Run, owners: jax.Array, queries: Params, count: int) -> jax.Array:
    """f[k, count]: ⟨q, a_u⟩ for each of `queries` (a pytree like params with leading axis k) and every unit u below
    `count`, `owners i32[n]` the unit of each example, from one pass backwards through training.

    l_T = q, l_t = (dF_t/ds)' l_{t+1}, and every unit in the batch of step t collects −(dF_t/dpresence)' l_{t+1}. The
    states are recomputed from √T of them, kept at the beginning of segments of √T steps.
    """

    def segment(state: Any, part: tuple[Schedule, jax.Array]) -> tuple[Any, None]:
        def one(state: Any, given: tuple[Schedule, jax.Array]) -> tuple[Any, None]:
            return step(run.problem, run.recipe, state, *given)[0], None

        return jax.lax.scan(jax.checkpoint(one, prevent_cse=False), state, part)

    def final(presence: jax.Array) -> Params:
        steps = len(run.schedule)
        length = isqrt(steps)
        first = steps % length
        parts = (run.schedule, presence)
        state, _ = segment(run.recipe.begin(run.start), jax.tree.map(lambda a: a[:first], parts))
        rest = jax.tree.map(lambda a: a[first:].reshape(-1, length, *a.shape[1:]), parts)
        (params, _), _ = jax.lax.scan(jax.checkpoint(segment, prevent_cse=False), state, rest)
        return params

    _, back = jax.vjp(final, jnp.ones_like(run.schedule.weights))
    (presence,) = jax.vmap(back)(queries)
    return jnp.zeros((presence.shape[0], count), presence.dtype).at[:, owners[run.schedule.indices]].add(-presence)


def check_finite(rows: Params) -> None:
    """Raises Diverged where a number is not finite."""
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(rows)):
        raise Diverged(
            "the statistics left the finite numbers: the derivative of training grows without bound at this learning "
            "rate, or the optimizer has none where a gradient is 0; lower the learning rate or change the optimizer"
        )


FORMS = ("first_order", "retained")
"""What a Hessian-free row linearises: who is there and the change of the state, or only the latter."""
