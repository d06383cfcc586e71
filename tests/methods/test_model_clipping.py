"""Model clipping: the naive loop, fresh noise of the right size, and the epsilon of the recursion."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.bounds import clipped_chain
from certunl.certificates.noise import STEP_BITS, grid
from tests.cases import KEY, network, ridge, trained, vector
from tests.methods.test_noisy_finetuning import accepted

FULL = {"batch_size": 100, "learning_rate": 0.1}


def forget(run, key=KEY, **settings):
    return cu.ModelClipping(**FULL | settings).forget(run, None, [1, 4], key)


def clipped(w, radius):
    return w * min(1, radius / np.linalg.norm(w))


def test_without_noise_it_is_the_naive_loop_that_clips_the_model():
    run = trained(ridge(), epochs=1)
    run = replace(run, params={"w": 9 * run.params["w"]})
    got = vector(forget(run, noise=1e-13, epochs=4, radius=0.1, weight_decay=0.3).params)
    kept = [i for i in range(24) if i not in (1, 4)]
    x, y = np.asarray(run.problem.data.x)[kept], np.asarray(run.problem.data.y)[kept]
    w, felt = vector(run.params), 0
    for _ in range(4):
        w = w - 0.1 * (x.T @ (x @ w - y) / len(kept) + 0.3 * w)
        felt += np.linalg.norm(w) > 0.1
        w = clipped(w, 0.1)
    assert felt >= 2
    np.testing.assert_allclose(got, w, rtol=1e-10)


def test_every_step_adds_fresh_noise_of_the_stated_size_to_a_clipped_model(flat):
    ends = [vector(forget(flat, noise=0.3, epochs=epochs).params) for epochs in (1, 2, 3)]
    noises = [ends[0], ends[1] - clipped(ends[0], 1.0), ends[2] - clipped(ends[1], 1.0)]
    assert np.linalg.norm(ends[0]) > 50  # so that clipping is felt
    for i, z in enumerate(noises):
        assert accepted(z, 0.3) and not accepted(z, 0.2) and not accepted(z, 0.45)
        for other in noises[:i]:
            assert abs(np.corrcoef(z, other)[0, 1]) < 4 / np.sqrt(z.size)


def test_the_forgotten_are_never_seen_and_a_step_that_is_not_finite_begins_anew_at_0():
    run = trained(network())
    data = run.problem.data
    changed = replace(data, x=data.x.at[jnp.array([1, 4])].set(7.0))
    other = replace(run, problem=replace(run.problem, data=changed))
    np.testing.assert_array_equal(vector(forget(run).params), vector(forget(other).params))
    broken = replace(run, params=jax.tree.map(lambda p: p * jnp.nan, run.params))
    zero = replace(run, params=jax.tree.map(lambda p: 1e200 * p, run.params))
    np.testing.assert_array_equal(vector(forget(broken).params), vector(forget(zero).params))
    assert np.isfinite(vector(forget(broken).params)).all()


@pytest.mark.parametrize(("steps", "noise"), [(1, 7.4613), (10, 0.74878), (50, 0.47526)])
def test_certify_gives_the_epsilon_of_the_recursion_and_adds_nothing(steps, noise):
    run, budget = trained(network(), epochs=1), cu.Budget(epsilon=1.0, delta=1e-5)
    update = forget(run, cu.secret_key(), epochs=steps, noise=2 * noise * (1 + 1e-4), radius=2.0)
    release = cu.certify(update, budget)
    assert (vector(release.params) == vector(update.params)).all()
    certificate = release.certificate
    assert certificate.verdict == "PROVED" and certificate.epsilon == 1.0
    assert certificate.bound is None and certificate.ceiling == 4.0
    assert certificate.sigma == update.guarantee.own_noise == 2 * noise * (1 + 1e-4)
    assert certificate.account.pairs == ((1.0, 1e-5),) and not certificate.account.ratios
    with pytest.raises(cu.BadInput, match="more than the budget's 1"):
        cu.certify(forget(run, epochs=steps, noise=2 * noise * (1 - 1e-4), radius=2.0), budget)


def test_the_profile_is_the_recursion_on_round_epsilons_and_counts_rounding():
    update = forget(trained(network(), epochs=1), epochs=3, noise=1.5)
    epsilons, deltas = np.array(update.guarantee.says.pairs).T
    assert set(np.arange(1, 10) / 10) | {1.0, 2.0, 3.0, 10.0} <= set(epsilons.tolist())
    assert (np.diff(epsilons) > 0).all() and (np.diff(deltas) <= 0).all() and (deltas[epsilons <= 10] > 0).all()
    ratio = 2 * (1 + {a.symbol: a.value for a in update.guarantee.assumptions}["rounding"]) / 1.5
    cell = grid(1.5, STEP_BITS) * np.sqrt(vector(update.params).size) / 1.5
    exact = clipped_chain(epsilons, ratio=ratio + cell, steps=3)
    assert (deltas >= exact).all() and (deltas[epsilons < 20] <= exact[epsilons < 20] + 1e-12).all()
    assert (exact > clipped_chain(epsilons, ratio=ratio, steps=3)).any()
    single = cu.classification(
        cu.models.Linear(classes=3, dtype=jnp.float32), trained(network(), epochs=1).problem.data
    )
    rough = forget(trained(single, epochs=1), epochs=3, noise=1.5)
    assert all(
        more > less
        for (_, more), (_, less) in zip(rough.guarantee.says.pairs[:40], update.guarantee.says.pairs[:40], strict=True)
    )


def test_requests_one_after_another_add_epsilons_and_deltas():
    stream = cu.Stream(run=trained(network(), epochs=1), method=cu.ModelClipping(noise=7.5, **FULL))
    budget = cu.Budget(epsilon=1.0, delta=1e-5)
    for request in ([1], [2]):
        _, stream = stream.forget(request, budget, cu.secret_key())
    assert stream.account.epsilon(2e-5) == pytest.approx(2.0) and stream.account.epsilon(1.9e-5) == np.inf


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"noise": 0.0}, "noise must be a positive number"),
        ({"radius": None}, "radius must be a positive number"),
        ({"radius": -1.0}, "radius must be a positive number"),
        ({"epochs": 0}, "epochs must be"),
    ],
)
def test_settings_the_theorem_does_not_hold_for_are_refused(settings, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        cu.ModelClipping(**settings)
