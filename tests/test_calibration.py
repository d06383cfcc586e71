"""The noise of a release: of the right size, from a secret key, drawn where it is added, unrelated between layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from tests.cases import KEY, claimed, vector
from tests.test_certificate import BUDGET, PROVED, update


def test_the_noise_has_the_right_scale_and_neither_half_nor_twice_it():
    release = cu.certify(update(bound=1.0), BUDGET, cu.secret_key())
    sigma, z = release.certificate.sigma, np.asarray(release.params["a"]).ravel()
    error = sigma / np.sqrt(2 * z.size)
    assert abs(z.std() - sigma) < 5 * error
    assert abs(z.mean()) < 5 * sigma / np.sqrt(z.size)
    for wrong in (sigma * 2 / 3, sigma * 3 / 2):
        assert abs(z.std() - wrong) > 5 * error


def test_noise_is_drawn_only_where_it_is_added(monkeypatch):
    drawn, normal = [], jax.random.normal
    monkeypatch.setattr(jax.random, "normal", lambda *shape: drawn.append(shape) or normal(*shape))
    own = update(bound=2.0, noise=5.0, radius=2.0, assumptions=PROVED)
    bare, exact = update(bound=None), update(bound=0.0, exact=True)
    for unnoised in (own, bare, exact):
        release = cu.certify(unnoised, cu.Budget(epsilon=3.0, delta=1e-5), KEY)
        assert (vector(release.params) == vector(unnoised.projected())).all()
    assert not drawn
    cu.certify(update(bound=1.0), BUDGET, KEY)
    assert len(drawn) == 2  # one for each leaf


def test_equal_layers_get_unrelated_noise():
    twins = claimed({"a": jnp.zeros(4000), "b": jnp.zeros(4000)}, bound=1.0)
    noise = cu.certify(twins, BUDGET, KEY).params
    assert abs(np.corrcoef(noise["a"], noise["b"])[0, 1]) < 5 / np.sqrt(4000)


def test_two_secret_keys_give_unrelated_noise_and_one_key_the_same():
    a, b = (cu.certify(update(bound=1.0), BUDGET, cu.secret_key()).params["a"].ravel() for _ in range(2))
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(a.size)
    key = cu.secret_key()
    c, d = (cu.certify(update(bound=1.0), BUDGET, key).params["a"] for _ in range(2))
    assert (c == d).all()
    assert jax.random.key_data(cu.secret_key()).tolist() != jax.random.key_data(cu.secret_key()).tolist()


def test_releases_are_projected_before_noise_and_the_update_is_kept():
    far = claimed({"w": jnp.array([3.0, 4.0])}, radius=1.0)
    release = cu.certify(far, BUDGET, KEY)
    np.testing.assert_allclose(release.params["w"], [0.6, 0.8], rtol=1e-12)
    np.testing.assert_allclose(release.update.params["w"], [3.0, 4.0])


def test_the_norm_a_certificate_tells_is_the_releases_not_the_secrets():
    release = cu.certify(update(bound=1.0), BUDGET, KEY)
    total = np.sqrt(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(release.params)))
    assert release.certificate.parameter_norm == pytest.approx(total)


def test_noise_of_sixteen_bits_is_refused():
    half = claimed({"w": jnp.zeros(4, jnp.float16)}, bound=1.0)
    with pytest.raises(cu.BadInput, match="16 bits is no Gaussian"):
        cu.certify(half, BUDGET, KEY)
