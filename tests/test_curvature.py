"""Products against explicit matrices, sums that do not depend on microbatches, estimates that are unbiased."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

import certunl as cu
from certunl.training.curvature import dense, extreme_eigenvalues, fisher, ggn, hvp
from certunl.training.streaming import drawn, microbatch, sampled, streamed
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
        indices = drawn(weights, 4, key)
        return sampled(lambda batch, w: (w @ batch.x[:, 0], (w == 0).sum()), data, weights, indices)

    draws, zeros = jax.jit(jax.vmap(draw))(jax.random.split(KEY, 20_000))
    error = draws.std() / np.sqrt(len(draws))
    assert abs(draws.mean() - weights @ values) < 5 * error
    assert abs(draws.mean() - weights @ jnp.roll(values, 1)) > 5 * error
    assert not zeros.any()


def test_the_fisher_is_the_weighted_sum_of_squared_gradients():
    def losses(flat):
        return PROBLEM.losses(UNRAVEL(flat), PROBLEM.data)

    gradients = jax.jacobian(losses)(FLAT)
    np.testing.assert_allclose(matrix(fisher), gradients.T @ (WEIGHTS[:, None] * gradients), rtol=1e-9, atol=1e-12)


def test_lanczos_finds_the_extreme_eigenvalues_from_inside():
    values = np.array([-3.0, -0.5, 0.1, 0.2, 0.3, 1.0, 7.0])
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(7, 7)))[0]
    a = jnp.asarray(basis * values @ basis.T)
    operator, like = lambda v, key: {"w": a @ v["w"]}, {"w": jnp.zeros(7)}
    np.testing.assert_allclose(extreme_eigenvalues(operator, like, KEY), (-3.0, 7.0), rtol=1e-9)  # 7 products suffice
    low, high = extreme_eigenvalues(operator, like, KEY, steps=3)
    assert -3.0 <= low < 0 and 5.0 < high <= 7.0


def test_lanczos_invents_no_eigenvalue_where_it_breaks_down():
    like = {"w": jnp.zeros(9)}
    for factor in (2.0, -2.0, 0.0):
        found = extreme_eigenvalues(lambda v, key, f=factor: {"w": f * v["w"]}, like, KEY, steps=6)
        np.testing.assert_allclose(found, (factor, factor), rtol=1e-12)
    two = jnp.array([1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0])
    np.testing.assert_allclose(extreme_eigenvalues(lambda v, key: {"w": two * v["w"]}, like, KEY, steps=8), (1.0, 4.0))


def test_a_microbatch_is_what_fits_and_shrinks_with_the_activations():
    assert microbatch(PROBLEM, PARAMS) == 1024
    sizes = []
    for width, side in ((32, 16), (32, 32), (96, 32)):
        data = cu.Dataset(np.zeros((2, side, side, 3), np.float32), np.arange(2))
        problem = cu.classification(cu.models.AllCNN(width=width), data)
        sizes.append(microbatch(problem, jax.eval_shape(problem.init, KEY)))
    assert 1024 > sizes[0] > sizes[1] > sizes[2] >= 4
    assert 3.5 < sizes[0] / sizes[1] < 4.6  # four times the pixels
