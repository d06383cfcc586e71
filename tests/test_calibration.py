"""The noise of a release: of the right size, from a secret key, drawn where it is added, unrelated between layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.certificates import noise
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
    drawn, sample = [], noise.integers
    monkeypatch.setattr(
        noise, "integers", lambda seed, rest, ratio: drawn.append(len(rest)) or sample(seed, rest, ratio)
    )
    own = update(bound=2.0, noise=5.0, radius=2.0, assumptions=PROVED)
    bare, exact = update(bound=None), update(bound=0.0, exact=True)
    for unnoised in (own, bare, exact):
        key = cu.secret_key()
        release = cu.certify(unnoised, cu.Budget(epsilon=3.0, delta=1e-5), key)
        assert repr(key) == "Secret(unused)"
        assert (vector(release.params) == vector(unnoised.projected())).all()
    assert not drawn
    certificate = cu.certify(update(bound=1.0), BUDGET).certificate
    assert drawn == [certificate.dimension]
    assert certificate.account.failures == 0.0 and certificate.total_delta == certificate.delta


def test_equal_layers_get_unrelated_noise():
    twins = claimed({"a": jnp.zeros(4000), "b": jnp.zeros(4000)}, bound=1.0)
    noise = cu.certify(twins, BUDGET).params
    assert abs(np.corrcoef(noise["a"], noise["b"])[0, 1]) < 5 / np.sqrt(4000)


def test_two_secret_keys_give_unrelated_noise_and_one_is_spent_by_its_first_use():
    a, b = (cu.certify(update(bound=1.0), BUDGET, cu.secret_key()).params["a"].ravel() for _ in range(2))
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(a.size)
    key = cu.secret_key()
    cu.certify(update(bound=1.0), BUDGET, key)
    with pytest.raises(cu.BadInput, match="used before"):
        cu.certify(update(bound=1.0), BUDGET, key)


def test_a_jax_key_repeats_its_noise_and_is_conditional():
    proved = {"bound": 1.0, "every_request": True, "assumptions": (cu.Assumption("C", 1.0, "proved"),)}
    one, two = (cu.certify(update(**proved), BUDGET, KEY) for _ in range(2))
    np.testing.assert_array_equal(one.params["a"], two.params["a"])
    assert one.certificate.verdict == "CONDITIONAL" and "JAX key" in one.certificate.unchecked[0]
    assert cu.certify(update(**proved), BUDGET, cu.secret_key()).certificate.verdict == "PROVED"
    for key in (3, "seed", None):
        if key is None:
            cu.certify(update(**proved), BUDGET, key)
        else:
            with pytest.raises(cu.BadInput, match="secret_key"):
                cu.certify(update(**proved), BUDGET, key)


def test_releases_are_projected_before_noise_and_the_update_is_kept():
    far = claimed({"w": jnp.array([3.0, 4.0])}, radius=1.0)
    release = cu.certify(far, BUDGET)
    np.testing.assert_allclose(release.params["w"], [0.6, 0.8], rtol=1e-12)
    np.testing.assert_allclose(release.update.params["w"], [3.0, 4.0])


def test_the_norm_a_certificate_tells_is_the_releases_not_the_secrets():
    release = cu.certify(update(bound=1.0), BUDGET)
    total = np.sqrt(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(release.params)))
    assert release.certificate.parameter_norm == pytest.approx(total)


def test_a_model_of_sixteen_bits_is_the_rounded_release_of_the_same_model_in_64():
    """A cast of the release is post-processing, so 16 bits prove no less."""
    params, facts = np.linspace(-1, 1, 8), {"bound": 1.0}
    half, double = (claimed({"w": jnp.asarray(params.astype(np.float16), dtype)}, **facts) for dtype in ("f2", "f8"))
    low, high = (cu.certify(one, BUDGET, KEY).params["w"] for one in (half, double))
    np.testing.assert_array_equal(low, high.astype(jnp.float16))


def test_parameters_that_are_not_real_are_refused():
    with pytest.raises(cu.BadInput, match="must be real numbers to be released, got complex128"):
        cu.certify(claimed({"w": jnp.ones(3, complex)}, bound=1.0), BUDGET)
