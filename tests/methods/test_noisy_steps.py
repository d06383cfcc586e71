"""Steps with noise of their own: blocks, secrets, and the grid in 16, 32 and 64 bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.methods import _noisy_steps
from certunl.methods._noisy_steps import draw_steps
from tests.cases import KEY, classes, gap, trained, vector

BUDGET = cu.Budget(epsilon=50.0, delta=1e-5)
FULL = {"batch_size": 100, "learning_rate": 0.1}


def forget(run, key=KEY, **settings):
    return cu.NoisyFineTuning(**FULL | settings).forget(run, None, [1, 4], key)


def test_blocks_of_steps_equal_one_program_and_noises_of_steps_are_unrelated(flat, monkeypatch):
    whole = forget(flat, noise=0.3, epochs=7)
    for numbers in (1, 3 * 40_000, 5 * 40_000):
        monkeypatch.setattr(_noisy_steps, "_NUMBERS", numbers)
        np.testing.assert_array_equal(vector(forget(flat, noise=0.3, epochs=7).params), vector(whole.params))


def test_an_account_counts_the_secret_of_a_methods_own_noise_once(flat):
    update = forget(flat, cu.secret_key(), noise=3.0)
    account = cu.certify(update, BUDGET).certificate.account
    assert account.secrets == (update.guarantee.secret,) and len(update.guarantee.secret) == 64
    with pytest.raises(cu.BadInput, match="drew the noise of an earlier release"):
        cu.certify(update, BUDGET, account=account)


def test_parameters_of_sixteen_bits_are_refused():
    run = trained(cu.classification(cu.models.MLP(hidden=(3,), classes=3, dtype=jnp.bfloat16), classes()))
    with pytest.raises(cu.BadInput, match="this model has 16 bits"):
        forget(run)


def test_without_64_bits_the_box_holds_a_radius_far_beyond_the_noise_and_a_free_model_is_named():
    """JAX's integers have 32 bits: 1000 noises fit the finest grid. A radius beyond takes a coarser one."""
    with jax.enable_x64(False):
        run = trained(cu.classification(cu.models.MLP(hidden=(3,), classes=3), classes()), epochs=1)
        update = forget(run, cu.secret_key(), noise=1e-3, radius=100.0, clip_norm=1e-6)
        rest = {a.symbol: a.value for a in update.guarantee.assumptions}
        assert rest["g √d"] == 2.0**-21 * np.sqrt(vector(run.params).size) and update.unchecked == ()
        assert 0 < gap(update.params, run.params) < 0.1
        free = draw_steps(run, run.present, cu.Recipe(learning_rate=0.1, epochs=1, batch_size=8), 1e-6, KEY)
        assert any("size of the trained model" in one for one in free.unchecked)
