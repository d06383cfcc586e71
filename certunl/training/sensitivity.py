"""The derivative of training with respect to the presence of each example, along the whole schedule."""

from collections.abc import Callable
from functools import partial
from math import isqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Params, outputs_first, outputs_last
from certunl.errors import Diverged, warn
from certunl.training.batches import by_batches
from certunl.training.kernels import kernels_first
from certunl.training.loop import step
from certunl.training.products import rounded
from certunl.training.run import Run
from certunl.training.schedule import Schedule

__all__ = ["FORMS", "adjoint", "block", "check_finite", "one_row", "vector", "warn_of_zeros"]


Tangents = list[jax.Array]
"""Derivatives of the floating-point leaves of the state: the parameters, then the optimizer's memory without integers.

The axis of outputs comes first in each leaf. In that order the products of a block with a batch need no copy of it.
"""
TangentMap = Callable[[Tangents, jax.Array], Tangents]


def _floating(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def _derivative(run: Run, slot: Schedule, state: Any, form: str, products: str | None) -> tuple[Any, TangentMap]:
    """One step: (state', (a, mask f[b] of a unit's slots) -> a')."""
    leaves, structure = jax.tree.flatten(state)
    problem = kernels_first(run.problem)

    def forward(floats: list[jax.Array], presence: jax.Array) -> tuple[list[jax.Array], list[jax.Array]]:
        # integers of the optimizer's memory, such as step counts, have no derivative: they stay constants here
        inputs = iter(floats)
        merged = [next(inputs) if _floating(leaf) else leaf for leaf in leaves]
        after = jax.tree.leaves(step(problem, run.recipe, jax.tree.unflatten(structure, merged), slot, presence)[0])
        return [leaf for leaf in after if _floating(leaf)], after

    floats = [leaf for leaf in leaves if _floating(leaf)]
    everyone = jnp.ones_like(slot.weights)
    if form != "retained":
        # one linearisation serves every unit: the caller maps `linear` over them, and the step is computed once
        _, linear, after = jax.linearize(forward, floats, everyone, has_aux=True)
        linear = linear if products is None else rounded(linear, products)

        def advance(a: list[jax.Array], mask: jax.Array) -> list[jax.Array]:
            if form == "first_order":
                return linear(a, -mask)
            injected = linear([jnp.zeros_like(leaf) for leaf in a], -mask)
            return linear([leaf + more for leaf, more in zip(a, injected, strict=True)], jnp.zeros_like(mask))
    else:
        with_unit, after = forward(floats, everyone)

        def advance(a: list[jax.Array], mask: jax.Array) -> list[jax.Array]:
            # the step without the unit differs from unit to unit, so there is nothing to share
            def without_unit(floats: list[jax.Array]) -> list[jax.Array]:
                return forward(floats, everyone - mask)[0]

            if products is None:
                without, change = jax.jvp(without_unit, (floats,), (a,))
            else:
                without, linear = jax.linearize(without_unit, floats)
                change = rounded(linear, products)(a)
            # the difference first: it is small, and added to `change` it keeps its digits
            return [c + (w - p) for c, w, p in zip(change, without, with_unit, strict=True)]

    def tangent_map(a: Tangents, mask: jax.Array) -> Tangents:
        return [outputs_first(leaf) for leaf in advance([outputs_last(leaf) for leaf in a], mask)]

    return jax.tree.unflatten(structure, after), tangent_map


@partial(jax.jit, static_argnames=("form", "products"))
def block(
    run: Run,
    owners: jax.Array,
    units: jax.Array,
    rows: Params | None = None,
    form: str = "first_order",
    products: str | None = None,
) -> tuple[Params, Params]:
    """(rows of `units i32[c]`, a pytree like params with leading axis c; the parameters after training).

    A unit −1 owns no example. `rows` are the rows before the first step, by default 0. With F the step, s the state and
    F_u the step without unit u, the forms are

        "first_order"    a' = (dF/ds) a − (dF/dpresence) 1_u
        "retained"       a' = (dF_u/ds) a + F_u(s) − F(s)
        "reference"      a' = (dF/ds) (a − (dF/dpresence) 1_u)

    The first linearises both the presence of u and the change of the state, the second only the change of the state.
    The third is the order of the authors' code, in which an injection is multiplied by the factor of its own step. It
    is no derivative of training.

    `products` is the type to which the operands of the products with a and 1_u are rounded, by default none. Training
    and the sums keep their own type.
    """
    run.need_history("the derivative of training")
    run.need_one_model("the derivative of training")
    state = run.recipe.begin(run.start)
    floats = [leaf for leaf in jax.tree.leaves(state) if _floating(leaf)]
    tangents = [jnp.zeros((units.size, *outputs_first(leaf).shape), leaf.dtype) for leaf in floats]
    params = jax.tree.structure(run.start)
    if rows is not None:
        tangents[: params.num_leaves] = [outputs_first(leaf, 1) for leaf in jax.tree.leaves(rows)]

    def body(carry: tuple[Any, Tangents], slot: Schedule) -> tuple[Any, None]:
        state, tangents = carry
        state, tangent_map = _derivative(run, slot, state, form, products)
        masks = (units[:, None] == owners[slot.indices][None]).astype(slot.weights.dtype)
        return (state, jax.vmap(tangent_map)(tangents, masks)), None

    (state, tangents), _ = jax.lax.scan(body, (state, tangents), run.problem.numbered(run.schedule))
    final = [outputs_last(leaf, 1) for leaf in tangents[: params.num_leaves]]
    return jax.tree.unflatten(params, final), state[0]


def vector(run: Run, gone: jax.Array, form: str = "first_order") -> tuple[Params, Params]:
    """(the row of the examples `gone bool[n]` as one unit, the parameters after training).

    For "first_order" that row is the sum of the examples' own rows. Inside `use_mesh` each batch is spread over the
    devices.
    """
    return by_batches(partial(one_row, form=form), run, gone)


@partial(jax.jit, static_argnames="form")
def one_row(run: Run, gone: jax.Array, form: str = "first_order") -> tuple[Params, Params]:
    """`vector` as one program, on the devices of its inputs."""
    owners = jnp.where(gone, 0, 1).astype(jnp.int32)
    rows, after = block(run, owners, jnp.zeros(1, jnp.int32), form=form)
    return jax.tree.map(lambda leaf: leaf[0], rows), after


@partial(jax.jit, static_argnames="count")
def adjoint(run: Run, owners: jax.Array, queries: Params, count: int) -> jax.Array:
    """f[k, count]: ⟨q, a_u⟩ for k queries q and every unit u below `count`, from one backward pass through training.

    `queries` is a pytree like params with leading axis k; `owners i32[n]` is the unit of each example. The pass is
    l_T = q, l_t = (dF_t/ds)' l_{t+1}, and every unit in the batch of step t adds −(dF_t/dpresence)' l_{t+1} to its
    product. About √T states are stored, one at the beginning of each segment of √T steps; the others are recomputed.
    """
    run.need_history("the derivative of training")
    run.need_one_model("the derivative of training")

    def segment(state: Any, part: tuple[Schedule, jax.Array]) -> tuple[Any, None]:
        def one(state: Any, inputs: tuple[Schedule, jax.Array]) -> tuple[Any, None]:
            return step(run.problem, run.recipe, state, *inputs)[0], None

        return jax.lax.scan(jax.checkpoint(one, prevent_cse=False), state, part)

    def final(presence: jax.Array) -> Params:
        steps = len(run.schedule)
        length = isqrt(steps)
        first = steps % length
        parts = (run.problem.numbered(run.schedule), presence)
        state = run.recipe.begin(run.start)
        if first:
            state, _ = segment(state, jax.tree.map(lambda a: a[:first], parts))
        rest = jax.tree.map(lambda a: a[first:].reshape(-1, length, *a.shape[1:]), parts)
        (params, _), _ = jax.lax.scan(jax.checkpoint(segment, prevent_cse=False), state, rest)
        return params

    _, back = jax.vjp(final, jnp.ones_like(run.schedule.weights))
    (presence,) = jax.vmap(back)(queries)
    return jnp.zeros((presence.shape[0], count), presence.dtype).at[:, owners[run.schedule.indices]].add(-presence)


def warn_of_zeros(run: Run, rows: Params, request: Any = None) -> None:
    """Warns if `rows` are 0 in every number, although examples of `request`, by default any, took part in training."""
    if any(np.asarray(leaf).any() for leaf in jax.tree.leaves(rows)):
        return
    slots = np.asarray(run.schedule.weights) != 0
    if request is not None:
        slots = slots & np.isin(np.asarray(run.schedule.indices), request)
    if (slots & (np.asarray(run.schedule.rates) != 0)[:, None]).any():
        warn(
            "these rows are 0 in every number, so forgetting by them changes nothing; an optimizer that takes the sign "
            "of the gradient, such as lion, has the derivative 0; use another optimizer, or Retrain"
        )


def check_finite(rows: Params) -> None:
    """Raises Diverged if a number is not finite."""
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(rows)):
        raise Diverged(
            "the statistics became NaN or infinite, because the derivative of training grows without bound at this "
            "learning rate, or the optimizer has no derivative at a gradient of 0; lower the learning rate, or give "
            "optax's adam eps_root=1e-16"
        )


FORMS = ("first_order", "retained", "reference")
"""The forms of a Hessian-free row, explained in `block`."""
