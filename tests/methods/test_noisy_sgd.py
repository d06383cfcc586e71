"""Projected noisy SGD: the naive loop, fresh noise, the published numbers, and laws that keep the bound."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.bounds import noisy_chain, rewind_bound
from certunl.gaussian import read_epsilon
from tests.bounds.test_hessian_free_constants import linear
from tests.cases import KEY, network, ridge, trained, vector
from tests.methods.test_noisy_finetuning import accepted, flat

__all__ = ["flat"]

IDS = [2, 5, 11]
BUDGET = cu.Budget(epsilon=3.0, delta=1e-5)
BALL = {"radius": 2.0, "weight_decay": 0.3, "learning_rate": 0.5}
CONVEX = {"gradient_bound": 1.0, "hessian_lipschitz": 0.0}


def forget(run, ids=IDS, key=KEY, prepared=None, **settings):
    return cu.NoisySGD(**settings).forget(run, prepared, ids, key)


def facts(update):
    return {a.symbol: a for a in update.assumptions}


def test_without_noise_it_is_the_naive_projected_loop_from_where_it_starts():
    run = trained(ridge(), epochs=2, weight_decay=0.3)
    moved = run.replace(params={"w": 9 * run.params["w"]})
    x, y = (np.delete(np.asarray(a), IDS, axis=0) for a in (run.problem.data.x, run.problem.data.y))
    for start, w, radius in (("ball", vector(moved.params), 0.2), ("trained", vector(run.params), None)):
        for _ in range(4):
            w = w if radius is None else w * min(1, radius / np.linalg.norm(w))
            w = w - 0.1 * (x.T @ (x @ w - y) / len(y) + 0.3 * w)
        settings = {"noise": 1e-13, "epochs": 4, "batch_size": 100, "radius": radius, "start": start}
        np.testing.assert_allclose(vector(forget(moved, **settings).params), w, rtol=1e-9, atol=1e-11)
    assert forget(moved, **settings).bound is None


def test_every_step_adds_fresh_noise_of_the_stated_size(flat):
    ends = [vector(forget(flat, [1, 4], noise=0.3, epochs=k, batch_size=100).params) for k in (1, 2, 3)]
    noises = [ends[0], ends[1] - ends[0], ends[2] - ends[1]]
    for i, z in enumerate(noises):
        assert accepted(z, 0.3) and not accepted(z, 0.2) and not accepted(z, 0.45)
        for other in noises[:i]:
            assert abs(np.corrcoef(z, other)[0, 1]) < 4 / np.sqrt(z.size)


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
                there = method.forget(run, replace(kept, params=truth), ids, KEY)  # the same noise: coupled
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
            r = update.bound / update.noise
            assert np.sqrt(gap @ np.linalg.solve(spread, gap)) <= r
            c = facts(update)["c"].value
            tight = c**K * np.linalg.norm(vector(run.params) - truth) / update.noise  # were z_0 the true distance
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
    assert apart / np.sqrt(spread) == pytest.approx(update.bound / update.noise, rel=1e-9)
    assert update.noise == pytest.approx(np.sqrt(spread))
    ends = jax.vmap(lambda k: _end(run, k, s, K, rate, mu))(jax.random.split(KEY, 20000))
    assert accepted(np.asarray(ends) - np.asarray(ends).mean(), update.noise)
    assert not accepted(np.asarray(ends) - np.asarray(ends).mean(), s if K > 1 else 1.1 * s)


def _end(run, key, noise, K, rate, decay):
    """Where the noisy steps end: the method's own program, for many keys."""
    from certunl.methods._noisy_steps import _steps
    from certunl.methods.noisy_sgd import _move

    rows = jnp.arange(1, 10)
    schedule = cu.Schedule(jnp.tile(rows, (K, 1)), jnp.ones((K, 9)), jnp.full(K, rate))
    return _steps(run.problem, run.params, schedule, key, noise, (None, rate, decay), _move)["w"][0]


def test_from_the_ball_the_bound_is_the_same_whoever_asks_and_whatever_training_was():
    model = cu.models.Linear(3, dtype=jnp.float64, bound=1.0)
    data = linear(epochs=1).problem.data
    found = []
    for scale in (0.5, 20.0):
        problem = cu.classification(model, cu.Dataset(scale * data.x, data.y))
        for recipe in ({"optimizer": "adam"}, {"clip_norm": 1.0, "learning_rate": 0.3}):
            run = trained(problem, weight_decay=0.3, radius=2.0, **recipe)
            for ids in ([4, 7, 8], IDS):
                update = forget(run, ids, noise=1.0, epochs=2, assumed="linear")
                certificate = cu.certify(update, BUDGET, KEY).certificate
                assert certificate.verdict == "PROVED" and update.uniform
                found.append((update.bound, update.noise, certificate.epsilon))
    assert len(set(found)) == 1
    c = 1 / (2 * 0.3 + 1)  # the rate is 2/(2 · 0.3 + 0 + L), L = R²/2 = 1 with the bias
    assert found[0][0] == pytest.approx(4 * c**8) and found[0][2] == pytest.approx(
        read_epsilon(found[0][1] / found[0][0], 1e-5)
    )


def test_a_rate_that_nobody_chose_follows_no_data():
    run = linear(**BALL)  # the norm of its inputs is measured
    assert facts(forget(run, noise=1.0, assumed="linear"))["c"].value == pytest.approx(1 - 0.5 * 0.3)
    known = cu.HessianFreeConstants(**CONVEX, smoothness=4.0, convexity=1.0)
    assert facts(forget(run, noise=1.0, assumed=known))["c"].value == pytest.approx(3 / 5.6)
    assert facts(forget(run, assumed=known, learning_rate=0.4))["c"].value == pytest.approx(0.4 * 4.3 - 1)
    steep = cu.HessianFreeConstants(**CONVEX, smoothness=0.0, convexity=0.0)
    flat_run = linear(**BALL | {"weight_decay": 0.0})
    assert facts(forget(flat_run, noise=1.0, assumed=steep))["c"].value == 1.0
    for high in np.random.default_rng(0).uniform(0.1, 9, 20):  # 2/high is just allowed, whatever its rounding
        edge = cu.HessianFreeConstants(**CONVEX, smoothness=high, convexity=0.0)
        assert facts(forget(flat_run, noise=1.0, assumed=edge))["c"].value == pytest.approx(1, abs=1e-15)


def test_verdicts():
    def verdict(run, **settings):
        update = forget(run, noise=2.0, **settings)
        return cu.certify(update, BUDGET, KEY).certificate, update

    run = linear(**BALL)
    for start in ("ball", "trained"):
        certificate, update = verdict(run, start=start, assumed="linear")
        assert certificate.verdict == "PROVED" and not update.uniform and certificate.epsilon == 3.0
        assert (vector(cu.certify(update, BUDGET, KEY).params) == vector(update.params)).all()
    assert "from any other model" in forget(run, assumed="linear").reference
    assert "training replayed" in forget(run, assumed="linear", start="trained").reference
    known = cu.HessianFreeConstants(**CONVEX, smoothness=1.0, convexity=0.0)
    assert verdict(run, assumed=known)[0].verdict == "CONDITIONAL"
    free = linear(**BALL | {"radius": None})
    certificate, update = verdict(free, assumed="linear")
    assert certificate.verdict == "CONDITIONAL" and facts(update)["rounding"].status == "estimated"
    assert verdict(free, assumed="linear", radius=2.0)[0].verdict == "PROVED"
    assert facts(forget(run, assumed="linear", radius=1e20))["rounding"].status == "estimated"  # norms may overflow
    for nothing, why in (
        (forget(run, noise=2.0), "must be convex"),
        (forget(trained(network(), optimizer="adam"), noise=2.0), "must be convex"),
        (forget(linear(**BALL, optimizer="adam"), noise=2.0, start="trained", assumed="linear"), "plain SGD"),
        (forget(linear(**BALL, clip_norm=1.0), noise=2.0, start="trained", assumed="linear"), "plain SGD"),
    ):
        assert nothing.bound is None and nothing.noise == 2.0 and why in nothing.missing[0]
        assert cu.certify(nothing, BUDGET, KEY).certificate.verdict == "NOT CERTIFIED"


def test_requests_one_after_another_start_again_at_training_s_end_and_compose():
    run = linear(**BALL)
    method = cu.NoisySGD(noise=2.0, start="trained", assumed="linear")
    stream = cu.Stream(run=run, method=method, prepared=method.prepare(run))
    _, stream = stream.forget([2], BUDGET, jax.random.key(8), cu.secret_key())
    release, stream = stream.forget([5, 11], BUDGET, KEY, cu.secret_key())
    at_once = forget(run, IDS, noise=2.0, start="trained", assumed="linear")
    assert (vector(release.params) == vector(at_once.params)).all() and release.update.bound == at_once.bound
    assert len(stream.account.ratios) == 2
    assert stream.account.epsilon(1e-5) > release.certificate.epsilon


def test_the_forgotten_are_never_seen_from_the_ball():
    run = linear(**BALL)
    data = run.problem.data
    changed = replace(data, x=data.x.at[jnp.array(IDS)].set(7.0))
    other = run.replace(problem=run.problem.replace(data=changed))
    settings = {"noise": 0.1, "batch_size": 4}
    np.testing.assert_array_equal(vector(forget(run, **settings).params), vector(forget(other, **settings).params))


def test_one_step_in_float32_is_off_by_no_more_than_its_rounding():
    single, double = (linear(**BALL, dtype=d) for d in (jnp.float32, jnp.float64))
    far = jax.tree.map(lambda p: (9 * p).astype(jnp.float32), single.params)
    settings = {"noise": 1e-20, "batch_size": 100, "assumed": "linear"}
    rough = forget(single.replace(params=far), **settings)
    fine = forget(double.replace(params=jax.tree.map(lambda p: p.astype(jnp.float64), far)), **settings)
    off = np.linalg.norm(vector(rough.params) - vector(fine.params))
    assert 0 < off <= facts(rough)["rounding"].value < 1e-3 and facts(rough)["rounding"].status == "proved"
    assert rough.bound == pytest.approx((1 - 0.5 * 0.3) * 4 + 2 * facts(rough)["rounding"].value)


@pytest.mark.parametrize(
    ("recipe", "settings", "sentence"),
    [
        (BALL, {"assumed": "linear", "learning_rate": 9.0}, "too large for a step to contract; it may be at most 1.5"),
        (BALL | {"radius": None}, {"start": "ball"}, "needs a ball"),
        (BALL, {"start": "here"}, "start must be one of"),
        (BALL, {"assumed": "lines"}, "assumed must be"),
        (BALL, {"noise": 0.0}, "noise must be"),
        (BALL, {"radius": -1.0}, "radius must be"),
    ],
)
def test_what_the_theorem_does_not_hold_for_is_refused(recipe, settings, sentence):
    run = linear(**recipe)
    with pytest.raises(cu.BadInput, match=sentence):
        forget(run, **settings)


def test_losses_that_are_not_convex_and_checkpoints_of_another_run_are_refused():
    run, method = linear(**BALL), cu.NoisySGD(start="trained")
    with pytest.raises(cu.BadInput, match="closed form"):
        forget(trained(network(), epochs=1), assumed="linear")
    with pytest.raises(cu.BadInput, match="give convexity"):
        cu.NoisySGD(assumed=cu.HessianFreeConstants(**CONVEX, smoothness=1.0, contraction=1.0))
    assert cu.NoisySGD().prepare(run) is None
    with pytest.raises(cu.BadInput, match="another run"):
        method.forget(linear(**BALL | {"weight_decay": 0.2}), method.prepare(run), IDS, KEY)
    with pytest.raises(cu.BadInput, match="another step"):
        method.forget(run, cu.RewindToDelete(steps=2).prepare(run), IDS, KEY)
