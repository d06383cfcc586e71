"""Matrices as functions v -> A v: Hessian, Gauss-Newton and Fisher products of a weighted risk."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import optax

from certunl.base import Key, Operator, Params, SampledOperator, width
from certunl.errors import BadInput
from certunl.training.modules import Supervised
from certunl.training.problem import Dataset, Problem
from certunl.training.streaming import streamed

__all__ = [
    "CURVATURES",
    "damped",
    "dense",
    "extreme_eigenvalues",
    "fisher",
    "fisher_diagonal",
    "ggn",
    "hutchinson_diagonal",
    "hvp",
    "wide",
    "widened",
]


Product = Callable[[Problem, Params, Params, Dataset, jax.Array], Params]


def hvp(problem: Problem, params: Params, v: Params, batch: Dataset, weights: jax.Array) -> Params:
    """H v, where H is the Hessian of sum_i weights_i l_i at `params`, by forward over reverse (Pearlmutter 1994)."""
    gradient = jax.grad(problem.risk)
    return jax.jvp(lambda p: gradient(p, batch, weights), (params,), (v,))[1]


def ggn(problem: Problem, params: Params, v: Params, batch: Dataset, weights: jax.Array) -> Params:
    """G v, where G = J' (d² output_loss) J + l2 (sum_i weights_i) I is the Hessian without the outputs' own curvature.

    G is positive semi-definite for weights >= 0 and an output loss that is convex in the outputs.
    Differs: the paper uses the Hessian.
    Raises: BadInput if the losses are not an output loss of a model (`Supervised`).
    """
    losses = problem.losses
    if not isinstance(losses, Supervised):
        raise BadInput(
            'operator="ggn" needs the losses of classification(...) or regression(...); use operator="hessian" for '
            "other losses"
        )

    def outputs_of(p: Params) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            return problem.outputs(p, batch.x)

    def risk_of(outputs: jax.Array) -> jax.Array:
        return jnp.sum(weights.astype(outputs.dtype) * losses.output_loss(outputs, batch.y))

    outputs, transposed = jax.vjp(outputs_of, params)
    tangent = jax.jvp(outputs_of, (params,), (v,))[1]
    (product,) = transposed(jax.jvp(jax.grad(risk_of), (outputs,), (tangent,))[1])
    total = losses.l2 * jnp.sum(weights)
    return jax.tree.map(lambda a, b: a + total.astype(b.dtype) * b, product, v)


def fisher(problem: Problem, params: Params, v: Params, batch: Dataset, weights: jax.Array) -> Params:
    """F v, where F = sum_i weights_i (grad l_i)(grad l_i)' is the empirical Fisher matrix.

    F is positive semi-definite for weights >= 0. The true Fisher matrix would draw the labels from the model.
    Differs: the paper uses the Hessian.
    """

    def losses_of(p: Params) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            return problem.per_example(p, batch)

    losses, transposed = jax.vjp(losses_of, params)
    slopes = jax.jvp(losses_of, (params,), (v,))[1]
    return transposed(slopes * weights.astype(losses.dtype))[0]


CURVATURES: dict[str, Product] = {"hessian": hvp, "ggn": ggn, "fisher": fisher}


def damped(operator: Operator, damping: jax.Array | float) -> SampledOperator:
    """v -> A v + damping v."""
    parts = SampledOperator.of(operator)

    def at(v: Params, sample: Any) -> Params:
        return jax.tree.map(lambda h, x: h + jnp.asarray(damping, x.dtype) * x, parts.at(v, sample), v)

    return replace(parts, at=at)


def wide(tree: Params) -> Params:
    """`tree` with its leaves of fewer than 32 bits in float32, the least precision that sums and small matrices get."""
    return jax.tree.map(lambda a: a.astype(jnp.float32) if jnp.finfo(a.dtype).bits < 32 else a, tree)


def widened(operator: Operator, like: Params) -> SampledOperator:
    """`operator`, which takes pytrees of the dtypes of `like`, as an operator on the pytrees of `wide`."""
    parts = SampledOperator.of(operator)

    def at(v: Params, sample: Any) -> Params:
        return wide(parts.at(jax.tree.map(lambda a, b: a.astype(b.dtype), v, like), sample))

    return replace(parts, at=at)


def extreme_eigenvalues(operator: Operator, like: Params, key: Key, steps: int = 16) -> tuple[jax.Array, jax.Array]:
    """(lowest, highest) Ritz values of a symmetric operator on pytrees shaped like `like`.

    They come from `steps` Lanczos products with a random start. The lowest is at least the lowest eigenvalue, and the
    highest is at most the highest. The operator gets the same key in each product, so a sampling operator uses one
    fixed mini-batch. Three vectors are stored, and none is reorthogonalised: lost orthogonality repeats extreme values
    but does not move them (Paige 1980).
    Source: Lanczos 1950.
    """
    dot: Any = optax.tree.vdot
    norm: Any = optax.tree.norm
    parts, like = widened(operator, like), wide(like)
    start_key, sample_key = jax.random.split(key)
    fixed = parts.draw(sample_key)
    start = optax.tree.random_like(start_key, like)
    size = width(like)
    zero = jnp.zeros_like(norm(start))
    tiny = jnp.sqrt(jnp.finfo(zero.dtype).eps)

    def advance(state: Any, _: None) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        before, now, beta, top, last = state
        image = parts.at(now, fixed)
        alpha = dot(now, image)
        image = jax.tree.map(lambda w, v, u: w - alpha * v - beta * u, image, now, before)
        top = jnp.maximum(top, jnp.abs(alpha) + beta)
        after = norm(image)
        # A tiny remainder means an invariant space. Every later vector is then 0 and repeats the last diagonal entry
        # without a link. That adds no value outside the range of A.
        alive = after > tiny * top
        value = jnp.where(dot(now, now) > 0, alpha, last)
        link = jnp.where(alive, after, 0)
        follower = jax.tree.map(lambda w: w * jnp.where(alive, 1 / jnp.where(alive, after, 1), 0), image)
        return (now, follower, link, top, value), (value, link)

    unit = jax.tree.map(lambda leaf: leaf / norm(start), start)
    state = (optax.tree.zeros_like(unit), unit, zero, zero, zero)
    _, (diagonal, beside) = jax.lax.scan(advance, state, None, length=min(steps, size))
    values = jnp.linalg.eigvalsh(jnp.diag(diagonal) + jnp.diag(beside[:-1], 1) + jnp.diag(beside[:-1], -1))
    return values[0], values[-1]


def hutchinson_diagonal(operator: Operator, like: Params, key: Key, probes: int) -> Params:
    """The mean of z · (A z) over `probes` vectors z of random signs, an unbiased estimate of the diagonal of A.

    For a deterministic operator, the variance of an entry is the sum of the squares of its row's other entries, divided
    by `probes`.
    Source: Bekas et al. 2007.
    """

    def one(total: Params, k: Key) -> tuple[Params, None]:
        z = optax.tree.random_like(k, like, sampler=jax.random.rademacher)
        return jax.tree.map(lambda t, zi, ai: t + zi * ai, total, z, operator(z, k)), None

    total = jax.lax.scan(one, optax.tree.zeros_like(like), jax.random.split(key, probes))[0]
    return optax.tree.scale(1 / probes, total)


def fisher_diagonal(problem: Problem, params: Params, data: Dataset, weights: jax.Array, size: int = 32) -> Params:
    """sum_i weights_i (grad l_i)², elementwise. It is the diagonal of `fisher`, from `size` gradients at a time."""

    def gradient(example: Dataset) -> Params:
        batch = jax.tree.map(lambda a: a[None], example)
        return jax.grad(problem.risk)(params, batch, jnp.ones(1))

    def part(batch: Dataset, share: jax.Array) -> Params:
        gradients = jax.vmap(gradient)(batch)
        return jax.tree.map(lambda g: jnp.tensordot(share.astype(g.dtype), g**2, axes=1), gradients)

    return streamed(part, data, weights, size)


def dense(operator: Operator, like: Params, key: Key, size: int = 64) -> jax.Array:
    """The matrix f[d, d] of a deterministic operator on pytrees shaped like `like`, `size` columns at a time."""
    operator, like = widened(operator, like), wide(like)
    flat, unravel = jax.flatten_util.ravel_pytree(like)

    def column(e: jax.Array) -> jax.Array:
        return jax.flatten_util.ravel_pytree(operator(unravel(e), key))[0]

    return jax.lax.map(column, jnp.eye(flat.size, dtype=flat.dtype), batch_size=size)
