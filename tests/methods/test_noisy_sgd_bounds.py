"""Projected noisy SGD's bound: the published numbers, and laws that keep or attain it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.base import digest
from certunl.bounds import noisy_chain, rewind_bound
from certunl.certificates.gaussian import read_epsilon
from certunl.certificates.noise import STEP_BITS, grid, integers
from tests.bounds.test_hessian_free_constants import linear
from tests.cases import KEY, ridge, trained, vector
from tests.methods.test_noisy_finetuning import accepted
from tests.methods.test_noisy_sgd import BALL, BUDGET, CONVEX, IDS, facts, forget


def test_the_published_numbers():
    last = np.tile(np.append(np.zeros(19), 1), 60)  # one point, seen last in each of 60 epochs of 20 batches
    known = cu.HessianFreeConstants(gradient_bound=2**0.5, smoothness=0.5, hessian_lipschitz=1, convexity=0)
    steps = {"rates": np.ones(1200), "sizes": 50, "divisors": 50, "weight_decay": 0.05, "denominator": "retained"}
    _, z = rewind_bound(known, **steps, gone=last, rewound=0)
    assert z == pytest.approx(0.08817974, rel=1e-7)
    for K, s in ((1, 0.312518), (20, 0.0394453), (40, 0.0133111), (100, 6.08165e-4)):
        Z, total = noisy_chain(start=z, contractions=[0.95] * K, shifts=[0.0] * K, noises=[s] * K)
        assert read_epsilon(total / Z, 1e-5) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("denominator", ["batch", "retained"])
def test_coupled_runs_keep_the_distance_in_training_and_after_every_number_of_noisy_steps(denominator):
    ratios, starts = [], []
    for radius in (0.5, 2.0):
        run = linear(**BALL | {"radius": radius}, denominator=denominator)
        for ids in ([4], list(range(12))):
            truth = cu.Retrain().forget(run, None, ids, KEY).params
            for epochs in (1, 3):
                method = cu.NoisySGD(noise=0.05, epochs=epochs, start="trained", assumed="linear")
                kept = method.prepare(run)
                here = method.forget(run, kept, ids, KEY)
                there = method.forget(
                    run, replace(kept, params=truth, seal=digest(None, truth)), ids, KEY
                )  # the same noise: coupled
                off = np.linalg.norm(vector(here.params) - vector(there.params))
                assert 0 < off <= here.bound
                ratios.append(off / here.bound)
            first = np.linalg.norm(vector(run.params) - vector(truth))
            assert first <= facts(here)["z_0"].value == min(facts(here)["D_T"].value, 2 * radius)
            starts.append(first / facts(here)["z_0"].value)
    assert max(ratios) > 0.01 and max(starts) > 0.05


def test_on_least_squares_the_two_exact_laws_keep_the_bound():
    ratios = []
    for seed in range(2):
        run = trained(ridge(d=3, seed=seed), learning_rate=0.05, weight_decay=0.1, batch_size=24)
        data = run.problem.data
        kept = np.delete(np.asarray(data.x), IDS, axis=0)
        norms = np.sum(np.asarray(data.x) ** 2, axis=1)
        known = cu.HessianFreeConstants(gradient_bound=50.0, smoothness=norms.max(), hessian_lipschitz=0, convexity=0)
        truth = vector(cu.Retrain().forget(run, None, IDS, KEY).params)
        gap, rate = vector(run.params) - truth, 0.08
        A, spread = np.eye(3) - rate * (kept.T @ kept / len(kept) + 0.1 * np.eye(3)), np.zeros((3, 3))
        for K in range(1, 4):
            gap, spread = A @ gap, A @ spread @ A.T + 0.2**2 * np.eye(3)
            settings = {"noise": 0.2, "epochs": K, "batch_size": 100, "learning_rate": rate, "assumed": known}
            update = forget(run, **settings)
            r = update.bound / update.guarantee.own_noise
            assert np.sqrt(gap @ np.linalg.solve(spread, gap)) <= r
            c = facts(update)["c"].value
            away = np.linalg.norm(vector(run.params) - truth)
            tight = c**K * away / update.guarantee.own_noise  # were z_0 the true distance
            ratios.append(np.sqrt(gap @ np.linalg.solve(spread, gap)) / tight)
    assert 0.2 < max(ratios) <= 1


@pytest.mark.parametrize(("training", "K"), [(1, 1), (6, 3), (40, 10)])
def test_one_weight_attains_the_bound_and_a_broken_one_is_caught(training, K):
    def losses(params, batch):
        return batch.y * params["w"][0]

    mu, rate, n, s = 0.5, 0.3, 10, 0.2
    data = cu.Dataset(np.zeros((n, 1)), np.where(np.arange(n) == 0, 1.0, -1.0))
    problem = cu.Problem(init=lambda key: {"w": jnp.zeros(1)}, losses=losses, data=data)
    recipe = {"epochs": training, "batch_size": n, "weight_decay": mu, "denominator": "retained"}
    run = trained(problem, learning_rate=rate, **recipe)
    known = cu.HessianFreeConstants(**CONVEX, smoothness=0.0, convexity=0.0)
    update = forget(run, [0], noise=s, epochs=K, learning_rate=rate, assumed=known)
    q, truth = 1 - rate * mu, cu.Retrain().forget(run, None, [0], KEY).params
    spread = s**2 * sum(q ** (2 * t) for t in range(K))
    apart = q**K * abs(vector(run.params) - vector(truth))[0]
    assert apart / np.sqrt(spread) == pytest.approx(update.bound / update.guarantee.own_noise, rel=1e-4)
    assert update.guarantee.own_noise == pytest.approx(np.sqrt(spread))
    ends = _ends(run, s, K, rate, mu, 20000)
    assert accepted(np.asarray(ends) - np.asarray(ends).mean(), update.guarantee.own_noise)
    assert not accepted(np.asarray(ends) - np.asarray(ends).mean(), s if K > 1 else 1.1 * s)


def _ends(run, noise, K, rate, decay, count):
    """Where the noisy steps end: the method's own program, many times."""
    from certunl.methods._noisy_steps import _steps
    from certunl.methods.noisy_sgd import _move

    rows = jnp.arange(1, 10)
    schedule = cu.Schedule(jnp.tile(rows, (K, 1)), jnp.ones((K, 9)), jnp.full(K, rate))
    g = grid(noise, STEP_BITS)
    numbers = integers(b"many runs", np.zeros(count * K), noise / g).astype(np.int32).reshape(count, K, 1)
    rows = schedule, jnp.ones(K, bool)

    def end(n):
        return _steps(run.problem, run.params, (*rows, {"w": n}), (g, 1 / g), (None, rate, decay), _move)[0]["w"][0]

    return jax.vmap(end)(jnp.asarray(numbers))


def test_from_the_ball_the_bound_is_the_same_whoever_asks_and_whatever_training_was():
    model = cu.models.Linear(3, dtype=jnp.float64, bound=1.0)
    data = linear(epochs=1).problem.data
    found = []
    for scale in (0.5, 20.0):
        problem = cu.classification(model, cu.Dataset(scale * data.x, data.y))
        for recipe in ({"optimizer": "adam"}, {"clip_norm": 1.0, "learning_rate": 0.3}):
            run = trained(problem, weight_decay=0.3, radius=2.0, **recipe)
            for ids in ([4, 7, 8], IDS):
                update = forget(run, ids, key=cu.secret_key(), noise=1.0, epochs=2, assumed="linear")
                certificate = cu.certify(update, BUDGET, cu.secret_key()).certificate
                assert certificate.verdict == "PROVED" and update.guarantee.every_request
                found.append((update.bound, update.guarantee.own_noise, certificate.epsilon))
    assert len(set(found)) == 1
    c = 1 / (2 * 0.3 + 1)  # the rate is 2/(2 · 0.3 + 0 + L), L = R²/2 = 1 with the bias
    assert found[0][0] == pytest.approx(4 * c**8, rel=1e-3) and found[0][2] == pytest.approx(
        read_epsilon(found[0][1] / found[0][0], 1e-5)
    )
