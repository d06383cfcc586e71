"""Noisy fine-tuning: fresh noise of the right size, clipped steps, and the epsilon of the theorem."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.certificates.gaussian import noise_ratio, read_epsilon
from tests.cases import KEY, network, ridge, trained, vector

BUDGET = cu.Budget(epsilon=50.0, delta=1e-5)
FULL = {"batch_size": 100, "learning_rate": 0.1}


def forget(run, key=KEY, **settings):
    return cu.NoisyFineTuning(**FULL | settings).forget(run, None, [1, 4], key)


def accepted(values, sigma):
    """Whether mean and standard deviation are those of N(0, sigma²) to 4 standard errors."""
    n = len(values)
    return abs(values.mean()) < 4 * sigma / np.sqrt(n) and abs(values.std() / sigma - 1) < 4 / np.sqrt(2 * n)


def test_every_step_adds_fresh_noise_of_the_stated_size(flat):
    ends = [vector(forget(flat, noise=0.3, epochs=epochs).params) for epochs in (1, 2, 3)]
    noises = [ends[0], ends[1] - ends[0], ends[2] - ends[1]]
    for i, z in enumerate(noises):
        assert accepted(z, 0.3) and not accepted(z, 0.2) and not accepted(z, 0.45)
        for other in noises[:i]:
            assert abs(np.corrcoef(z, other)[0, 1]) < 4 / np.sqrt(z.size)
    other = vector(forget(flat, jax.random.key(8), noise=0.3).params)
    assert abs(np.corrcoef(ends[0], other)[0, 1]) < 4 / np.sqrt(other.size)


def test_the_noise_of_the_certificate_is_the_one_measured_at_the_end(flat):
    update = forget(flat, noise=0.3, epochs=7, weight_decay=2.0)
    end = vector(update.params)
    assert update.guarantee.own_noise == pytest.approx(0.3 * np.sqrt((1 - 0.8**14) / (1 - 0.8**2)))
    noise = update.guarantee.own_noise
    assert accepted(end, noise) and not accepted(end, 1.5 * noise) and not accepted(end, noise / 1.5)


def test_without_noise_it_is_the_naive_clipped_loop():
    run = trained(ridge(), epochs=1)
    run = replace(run, params={"w": 3 * run.params["w"]})
    got = vector(forget(run, noise=1e-13, epochs=4, radius=0.5, clip_norm=0.2, weight_decay=0.3).params)
    kept = [i for i in range(24) if i not in (1, 4)]
    x, y = np.asarray(run.problem.data.x)[kept], np.asarray(run.problem.data.y)[kept]
    w = vector(run.params)
    assert np.linalg.norm(w) > 0.5
    w *= 0.5 / np.linalg.norm(w)
    for _ in range(4):
        g = x.T @ (x @ w - y) / len(kept)
        assert np.linalg.norm(g) > 0.2
        w = (1 - 0.1 * 0.3) * w - 0.1 * g * min(1, 0.2 / np.linalg.norm(g))
    np.testing.assert_allclose(got, w, rtol=1e-10)


def test_the_forgotten_and_the_size_of_the_old_model_are_never_seen():
    run = trained(network())
    data = run.problem.data
    changed = replace(data, x=data.x.at[jnp.array([1, 4])].set(7.0))
    other = replace(run, problem=replace(run.problem, data=changed), params=jax.tree.map(lambda p: 50 * p, run.params))
    run = replace(run, params=jax.tree.map(lambda p: 80 * p, run.params))
    np.testing.assert_allclose(vector(forget(run, batch_size=4).params), vector(forget(other, batch_size=4).params))


def test_a_gradient_that_is_not_finite_counts_as_none():
    def losses(params, batch):
        return jnp.sqrt(params["w"][0] - params["w"][0]) + 0 * batch.y

    data = cu.Dataset(np.ones((6, 1)), np.ones(6))
    problem = cu.Problem(init=lambda key: {"w": jnp.ones(3)}, losses=losses, data=data)
    run = replace(trained(ridge(n=6, d=3)), problem=problem)
    assert np.isfinite(vector(forget(run).params)).all()


@pytest.mark.parametrize(("epochs", "noise"), [(1, 7.4986), (10, 2.4774), (100, 1.1192)])
def test_certify_gives_the_epsilon_of_the_theorem_and_adds_nothing(epochs, noise):
    run = trained(network())
    update = forget(run, cu.secret_key(), epochs=epochs, noise=noise, clip_norm=0.05)
    release = cu.certify(update, BUDGET)
    assert (vector(release.params) == vector(update.params)).all()
    certificate = release.certificate
    assert certificate.verdict == "PROVED" and certificate.bound == pytest.approx(2 + 0.01 * epochs, rel=1e-3)
    assert certificate.sigma == pytest.approx(noise * np.sqrt(epochs))
    assert certificate.epsilon == pytest.approx(1.0, rel=1e-3)


def test_clipping_does_not_lower_the_epsilon_to_that_of_the_ball():
    run = trained(network(), radius=1.0)
    update = forget(run, epochs=20, noise=2.0, clip_norm=5.0)
    epsilon = cu.certify(update, BUDGET).certificate.epsilon
    assert update.bound == pytest.approx(22, rel=1e-4) and update.radius == 1.0
    assert epsilon == pytest.approx(read_epsilon(update.guarantee.own_noise / update.bound, 1e-5))
    assert epsilon > read_epsilon(update.guarantee.own_noise / 2, 1e-5)


def test_the_rounding_of_a_step_is_counted_in_the_bound_and_never_exceeded(flat):
    w = np.random.default_rng(0).normal(size=40000).astype(np.float32) / 250
    settings = {"noise": 0.3, "weight_decay": 3.0, "clip_norm": 0.5}
    for epochs in (1, 3):
        update, nothing = (
            forget(flat.replace(params={"w": jnp.asarray(p)}), epochs=epochs, **settings) for p in (w, 0 * w)
        )
        told = {a.symbol: a.value for a in update.guarantee.assumptions}
        z, lost, step = 2 * (1 + told["rounding"]), 1 + told["rounding"], told["of a step"]
        off = np.linalg.norm(vector(update.params) - vector(nothing.params) - 0.7**epochs * w.astype(float))
        cell = told["g √d"]
        assert cell == 200 * 0.25 * 2.0**-20 and 0 < off <= epochs * (2 * step + 1.7 * cell) < 0.1  # the same noise
        for _ in range(epochs):
            z = 0.7 * z + 2 * (0.1 * 0.5 * lost + step) + 1.7 * cell
        assert update.bound == pytest.approx(z, rel=1e-12)


def test_on_a_quadratic_the_two_laws_keep_the_bound():
    run = trained(ridge(d=3), learning_rate=0.05)
    truth = cu.Retrain().forget(run, None, [1, 4], KEY).params
    kept = np.delete(np.asarray(run.problem.data.x), [1, 4], axis=0)
    ratios = []
    for epochs, rate in ((1, 0.3), (1, 0.05), (4, 0.2), (4, 0.05)):
        settings = {"epochs": epochs, "learning_rate": rate, "noise": 0.2, "clip_norm": 100.0, "radius": 100.0}
        update = forget(run, **settings)
        A, spread = np.eye(3) - rate * kept.T @ kept / len(kept), np.zeros((3, 3))
        for _ in range(epochs):
            spread = A @ spread @ A.T + 0.2**2 * np.eye(3)
        for start in (truth, {"w": 1e3 * run.params["w"]}):  # the same key: the noises cancel, the means are left
            other = forget(replace(run, params=start), **settings)
            gap = vector(update.params) - vector(other.params)
            ratios.append(np.sqrt(gap @ np.linalg.solve(spread, gap)) * update.guarantee.own_noise / update.bound)
        first = vector(run.params) - vector(truth)
        gap = vector(update.params) - vector(forget(replace(run, params=truth), **settings).params)
        np.testing.assert_allclose(gap, np.linalg.matrix_power(A, epochs) @ first, atol=1e-6)
    assert max(ratios) <= 1 and max(ratios) > 0.1


def test_a_budget_below_its_noise_is_refused_and_the_certificate_says_what_is_compared():
    update = forget(trained(network()), noise=3.0)
    with pytest.raises(cu.BadInput, match=r"noise of the method's own steps gives epsilon .* more than the bud"):
        cu.certify(update, cu.Budget(epsilon=0.5, delta=1e-5))
    with pytest.raises(cu.BadInput, match="its budget must be an epsilon and a delta"):
        cu.certify(update, cu.Budget(delta=1e-5, sigma=1.0))
    printed = str(cu.certify(update, BUDGET).certificate)
    for part in (
        "same unlearner's release with nothing to forget",
        "the method's own steps",
        "output perturbation: sigma",
    ):
        assert part in printed
    assert "plus the same noise" not in printed and "distance bound" not in printed


def test_evaluate_shows_no_distance_bound_for_it():
    run = trained(network())
    release = cu.certify(forget(run), cu.Budget(epsilon=1e3, delta=1e-5))
    report = cu.evaluate(run, [1, 4], release)
    assert "bound_to_its_reference" not in report.rows["noisy_finetuning"]
    assert set(report.rows) == {"original", "retrain", "noisy_finetuning"}


def test_requests_one_after_another_compose():
    run = trained(network())
    stream = cu.Stream(run=run, method=cu.NoisyFineTuning(noise=3.0, **FULL))
    _, stream = stream.forget([1], BUDGET, KEY, cu.secret_key())
    release, stream = stream.forget([2], BUDGET, jax.random.key(9), cu.secret_key())
    one = release.certificate.bound / release.certificate.sigma
    assert stream.account.epsilon(1e-5) == pytest.approx(read_epsilon(1 / (one * np.sqrt(2)), 1e-5))
    assert noise_ratio(stream.account.epsilon(1e-5), 1e-5) == pytest.approx(1 / (one * np.sqrt(2)), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"noise": 0.0}, "noise must be a positive number"),
        ({"radius": None}, "radius must be a positive number"),
        ({"clip_norm": -1.0}, "clip_norm must be a positive number"),
        ({"weight_decay": 21.0}, "more than 2; lower one"),
    ],
)
def test_settings_the_theorem_does_not_hold_for_are_refused(settings, sentence):
    run = trained(network(), epochs=1)
    with pytest.raises(cu.BadInput, match=sentence):
        forget(run, **settings)
