"""Matrices as functions: Hessian and Gauss-Newton products of a weighted risk, streamed over the data."""

from collections.abc import Callable
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp

from certunl.problem import Dataset, Problem, Supervised
from certunl.typing import BadInput, Key, Operator, Params

__all__ = ["CURVATURES", "damped", "dense", "ggn", "hvp", "sampled", "streamed"]

Product = Callable[[Problem, Params, Params, Dataset, jax.Array], Params]


def hvp(problem: Problem, params: Params, v: Params, batch: Dataset, weights: jax.Array) -> Params:
    """H v, H the Hessian of sum_i weights_i l_i at `params`, by forward over reverse (Pearlmutter 1994)."""
    gradient = jax.grad(problem.risk)
    return jax.jvp(lambda p: gradient(p, batch, weights), (params,), (v,))[1]


def ggn(problem: Problem, params: Params, v: Params, batch: Dataset, weights: jax.Array) -> Params:
    """G v, G = J' (d² output_loss) J + l2 (sum_i weights_i) I: the Hessian without the outputs' own curvature.

    Positive semi-definite for weights >= 0 and losses convex in the outputs. Differs: not the paper's operator.
    Raises: BadInput where the losses do not come apart into outputs and a loss of them.
    """
    losses = problem.losses
    if not isinstance(losses, Supervised):
        raise BadInput('operator="ggn" needs losses of classification(...) or regression(...); use operator="hessian"')

    def outputs_of(p: Params) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            return losses.predict(p, batch.x)

    def risk_of(outputs: jax.Array) -> jax.Array:
        return jnp.sum(weights.astype(outputs.dtype) * losses.output_loss(outputs, batch.y))

    outputs, transposed = jax.vjp(outputs_of, params)
    tangent = jax.jvp(outputs_of, (params,), (v,))[1]
    (product,) = transposed(jax.jvp(jax.grad(risk_of), (outputs,), (tangent,))[1])
    return jax.tree.map(lambda a, b: a + losses.l2 * jnp.sum(weights).astype(b.dtype) * b, product, v)


CURVATURES: dict[str, Product] = {"hessian": hvp, "ggn": ggn}


def streamed(part: Callable[[Dataset, jax.Array], Any], data: Dataset, weights: jax.Array, size: int = 1024) -> Any:
    """sum over microbatches of part(batch, weights): a sum over all the data in the memory of `size` examples."""
    n = len(data)
    pieces = -(-n // size)
    size = -(-n // pieces)
    if pieces == 1:
        return part(data, weights)
    slots = jnp.arange(pieces * size).reshape(pieces, size)
    weights = jnp.where(slots < n, weights[jnp.minimum(slots, n - 1)], 0)

    def body(total: Any, piece: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        indices, share = piece
        return jax.tree.map(jnp.add, total, part(data[jnp.minimum(indices, n - 1)], share)), None

    shapes = jax.eval_shape(part, data[slots[0]], weights[0])
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    return jax.lax.scan(body, zero, (slots, weights))[0]


def sampled(part: Callable[[Dataset, jax.Array], Any], data: Dataset, weights: jax.Array, size: int, key: Key) -> Any:
    """An unbiased estimate of the streamed sum from `size` examples, drawn uniformly with replacement from those
    whose weight is not 0. All nonzero weights must be equal."""
    kept = jnp.cumsum(weights != 0)
    picks = jax.random.randint(key, (size,), 0, kept[-1])
    indices = jnp.searchsorted(kept, picks, side="right")
    return part(data[indices], weights[indices] * (kept[-1] / size).astype(weights.dtype))


def damped(operator: Operator, damping: jax.Array | float) -> Operator:
    """v -> A v + damping v."""
    return lambda v, key: jax.tree.map(lambda h, x: h + jnp.asarray(damping, x.dtype) * x, operator(v, key), v)


def dense(operator: Operator, like: Params, key: Key, size: int = 64) -> jax.Array:
    """The matrix f[d, d] of a deterministic operator on pytrees shaped like `like`, `size` columns at a time."""
    flat, unravel = jax.flatten_util.ravel_pytree(like)

    def column(e: jax.Array) -> jax.Array:
        return jax.flatten_util.ravel_pytree(operator(unravel(e), key))[0]

    return jax.lax.map(column, jnp.eye(flat.size, dtype=flat.dtype), batch_size=size)
