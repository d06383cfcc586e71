"""Sums of gradients of which each example's was clipped, of a microbatch at a time."""

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Literal

from certunl.base import Params
from certunl.training.dataset import Dataset
from certunl.training.problem import Problem
from certunl.training.programs import evaluated

__all__ = ["clipped_sum", "margin"]

_UNIT = 2.0**-24
"""Half the distance of 1 and the next number of float32."""


def margin(params: Params) -> float:
    """The relative amount by which a computed norm of a gradient like `params` may be too small, in float32.

    A sum of m squares, in any order, is off by at most (m − 1) units of rounding, and each square by one. Squares of a
    leaf are summed along its last axis first, and then over the rest. Those of a kernel in a product with one row x are
    ‖x‖² ‖y‖², which needs as many terms. A square root halves the relative error. 16 units are for quotients, squares,
    roots and products.

    Source: Higham 2002, section 4.2.
    """
    leaves = jax.tree.leaves(params)
    terms = max((leaf.shape[-1] + leaf.size // max(leaf.shape[-1], 1) if leaf.ndim else 1) for leaf in leaves)
    return (terms + len(leaves) + 16) * _UNIT


def clipped_sum(
    problem: Problem, params: Params, batch: Dataset, weights: jax.Array, limit: float, parts: int = 1
) -> tuple[Params, jax.Array]:
    """(sum_i clip(weights_i grad l_i, `limit`), sum_i weights_i l_i), with clip(g, C) = g min(1, C/‖g‖).

    The first is that of each of `parts` equal parts of the batch, along a new leading axis. The norm of a term is at
    most `limit` (1 + `margin`), as far as float32 goes. A gradient that is not finite counts as 0.

    The gradient of a kernel W in a product y = x W with one row x is the outer product of x and grad_y. Its norm is
    ‖x‖ ‖grad_y‖, and the clipped sum over examples is one matrix product. So no such gradient is formed for one
    example alone. Every other leaf takes the memory of its gradient for each example of `batch`.

    Source: Goodfellow 2015 for the norms; Bu et al. 2023, book-keeping, for the sum.
    """
    leaves, tree = jax.tree.flatten(params)
    alone = jax.tree.map(lambda a: a[:1], batch)

    def risk(leaves: list[jax.Array], example: Dataset, weight: jax.Array) -> jax.Array:
        return problem.risk(tree.unflatten(leaves), example, weight)

    program: Any = jax.make_jaxpr(risk)(leaves, alone, weights[:1])
    rows = _products_of_one_row(program.jaxpr, len(leaves))
    others = [i for i in range(len(leaves)) if i not in rows.values()]

    def one(own: list[jax.Array], shifts: dict[int, jax.Array], example: Dataset, weight: jax.Array) -> Any:
        """(risk, {leaf: x}) of one example, where `shifts` are added to the products."""
        inputs: dict[int, jax.Array] = {}

        def shifted(equation: Any, operands: list[Any]) -> list[Any] | None:
            if (leaf := rows.get(id(equation))) is None:
                return None
            inputs[leaf] = operands[0]
            return [equation.primitive.bind(*operands, **equation.params) + shifts[leaf]]

        whole = list(leaves)
        for i, leaf in zip(others, own, strict=True):
            whole[i] = leaf
        single = jax.tree.map(lambda a: a[None], example)
        arguments = [*whole, *jax.tree.leaves(single), weight[None]]
        return evaluated(program.jaxpr, program.consts, arguments, shifted)[0], inputs

    outputs = {rows[id(e)]: e.outvars[0].aval for e in program.jaxpr.eqns if id(e) in rows}
    zeros = {leaf: jnp.zeros(aval.shape, aval.dtype) for leaf, aval in outputs.items()}
    derivative = jax.vmap(jax.value_and_grad(one, argnums=(0, 1), has_aux=True), in_axes=(None, None, 0, 0))
    (risks, inputs), (own, slopes) = derivative([leaves[i] for i in others], zeros, batch, weights)

    lengths = [_norms(g) for g in own] + [_norms(inputs[i]) * _norms(slopes[i]) for i in inputs]
    norms = _norms(jnp.stack(lengths, axis=1))
    shares = jnp.where(norms > limit, limit / norms, 1.0)
    counted = jnp.isfinite(norms) & (weights != 0)
    shares = jnp.where(counted, shares, 0.0)

    def safe(a: jax.Array) -> jax.Array:
        return jnp.where(counted.reshape(-1, *[1] * (a.ndim - 1)), a, 0)

    total: list[Any] = [None] * len(leaves)
    with jax.default_matmul_precision("highest"):
        for i, g in zip(others, own, strict=True):
            flat = safe(g).reshape(parts, len(g) // parts, -1)
            total[i] = jnp.einsum("pb,pbd->pd", shares.astype(g.dtype).reshape(parts, -1), flat)
        for i, x in inputs.items():
            y = safe(slopes[i]) * shares.astype(slopes[i].dtype).reshape(-1, *[1] * (slopes[i].ndim - 1))
            flat = [a.reshape(parts, len(a) // parts, -1) for a in (safe(x), y)]
            total[i] = jnp.einsum("pbi,pbo->pio", *flat)
    total = [a.reshape(parts, *leaf.shape).astype(leaf.dtype) for a, leaf in zip(total, leaves, strict=True)]
    return tree.unflatten(total), jnp.sum(jnp.where(weights != 0, risks, 0.0))


def _norms(a: jax.Array) -> jax.Array:
    """f[b]: the norm of each example's part of `a`, by sums in the order that `margin` counts.

    Numbers are divided by the largest one, so that no square overflows, and none that counts is lost.
    """
    a = a.reshape(len(a), -1, a.shape[-1]) if a.ndim > 1 else a.reshape(-1, 1, 1)
    largest = jnp.max(jnp.abs(a), axis=(1, 2), initial=0)
    ratios = a / jnp.where(largest > 0, largest, 1)[:, None, None]
    rows = jax.lax.optimization_barrier(jnp.sum(ratios * ratios, axis=2))
    return largest * jnp.sqrt(jnp.sum(rows, axis=1))


def _products_of_one_row(program: Any, parameters: int) -> dict[int, int]:
    """{id of an equation: number of a parameter} for products x W with one row x, of parameters used nowhere else."""
    uses = Counter(v for e in program.eqns for v in e.invars if not isinstance(v, Literal))
    uses.update(v for v in program.outvars if not isinstance(v, Literal))
    kernels = {v: i for i, v in enumerate(program.invars[:parameters]) if uses[v] == 1}
    return {
        id(equation): kernels[equation.invars[1]]
        for equation in program.eqns
        if equation.primitive.name == "dot_general"
        and not isinstance(equation.invars[1], Literal)
        and equation.invars[1] in kernels
        and _one_row(equation)
    }


def _one_row(equation: Any) -> bool:
    """Whether a product contracts the last axis of one row x with the first axis of a matrix."""
    left, right = (v.aval for v in equation.invars)
    (contracted, of_kernel), (batched, _) = equation.params["dimension_numbers"]
    plain = not batched and tuple(of_kernel) == (0,) and tuple(contracted) == (left.ndim - 1,) and right.ndim == 2
    return plain and left.size == left.shape[-1]
