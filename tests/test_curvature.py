"""Products against explicit matrices, sums that do not depend on microbatches, estimates that are unbiased."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from certunl.curvature import dense, ggn, hvp, sampled, streamed
from tests.cases import KEY, network, vector

PROBLEM = network(hidden=(3,), l2=0.3)
PARAMS = PROBLEM.init(KEY)
WEIGHTS = jnp.linspace(0.0, 1.0, 30)
FLAT, UNRAVEL = jax.flatten_util.ravel_pytree(PARAMS)


def matrix(product):
    return np.asarray(
        jax.jit(lambda key: dense(lambda v, _: product(PROBLEM, PARAMS, v, PROBLEM.data, WEIGHTS), PARAMS, key))(KEY)
    )


def test_the_hessian_product_is_the_hessian():
    exact = jax.jit(jax.hessian(lambda flat: PROBLEM.risk(UNRAVEL(flat), PROBLEM.data, WEIGHTS)))(FLAT)
    np.testing.assert_allclose(matrix(hvp), exact, rtol=1e-10, atol=1e-12)


def test_gauss_newton_is_its_definition_l2_included_and_positive():
    def outputs(flat):
        return PROBLEM.losses.predict(UNRAVEL(flat), PROBLEM.data.x)

    jacobian, p = jax.jacobian(outputs)(FLAT), jax.nn.softmax(outputs(FLAT))
    curvature = jax.vmap(lambda p: jnp.diag(p) - jnp.outer(p, p))(p) * WEIGHTS[:, None, None]
    exact = jnp.einsum("nci,ncd,ndj->ij", jacobian, curvature, jacobian) + 0.3 * WEIGHTS.sum() * jnp.eye(FLAT.size)
    got = matrix(ggn)
    np.testing.assert_allclose(got, exact, rtol=1e-10, atol=1e-12)
    assert np.linalg.eigvalsh(got)[0] > 0.3 * float(WEIGHTS.sum()) * (1 - 1e-9)


def test_streamed_sums_do_not_depend_on_the_microbatch():
    def part(batch, weights):
        return jax.grad(PROBLEM.risk)(PARAMS, batch, weights)

    whole = vector(part(PROBLEM.data, WEIGHTS))
    for size in (1, 7, 30):
        np.testing.assert_allclose(
            vector(jax.jit(lambda w, size=size: streamed(part, PROBLEM.data, w, size))(WEIGHTS)),
            whole,
            rtol=1e-10,
            atol=1e-12,
        )


def test_sampled_sums_are_unbiased_and_never_draw_an_example_of_weight_zero():
    values = jnp.arange(30.0) ** 2
    weights = jnp.where(jnp.arange(30) % 3 == 1, 0.25, 0.0)
    data = PROBLEM.data.__class__(values[:, None], PROBLEM.data.y)

    def draw(key):
        return sampled(lambda batch, w: (w @ batch.x[:, 0], (w == 0).sum()), data, weights, 4, key)

    draws, zeros = jax.jit(jax.vmap(draw))(jax.random.split(KEY, 20_000))
    error = draws.std() / np.sqrt(len(draws))
    assert abs(draws.mean() - weights @ values) < 5 * error
    assert abs(draws.mean() - weights @ jnp.roll(values, 1)) > 5 * error
    assert not zeros.any()
