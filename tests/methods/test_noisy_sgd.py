"""Projected noisy SGD: the naive loop, fresh noise, verdicts, and what is refused."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from tests.bounds.test_hessian_free_constants import linear
from tests.cases import KEY, network, ridge, trained, vector
from tests.methods.test_noisy_finetuning import accepted

IDS = [2, 5, 11]
BUDGET = cu.Budget(epsilon=3.0, delta=1e-5)
BALL = {"radius": 2.0, "weight_decay": 0.3, "learning_rate": 0.5}
CONVEX = {"gradient_bound": 1.0, "hessian_lipschitz": 0.0}


def forget(run, ids=IDS, key=KEY, prepared=None, **settings):
    return cu.NoisySGD(**settings).forget(run, prepared, ids, key)


def facts(update):
    return {a.symbol: a for a in update.guarantee.assumptions}


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
        update = forget(run, key=cu.secret_key(), noise=2.0, **settings)
        return cu.certify(update, BUDGET, cu.secret_key()).certificate, update

    run = linear(**BALL)
    for start in ("ball", "trained"):
        certificate, update = verdict(run, start=start, assumed="linear")
        assert certificate.verdict == "PROVED" and not update.guarantee.every_request and certificate.epsilon == 3.0
        assert (vector(cu.certify(update, BUDGET).params) == vector(update.params)).all()
    assert "from any other model" in forget(run, assumed="linear").guarantee.reference
    assert "training replayed" in forget(run, assumed="linear", start="trained").guarantee.reference
    known = cu.HessianFreeConstants(**CONVEX, smoothness=1.0, convexity=0.0)
    assert verdict(run, assumed=known)[0].verdict == "CONDITIONAL"
    free = linear(**BALL | {"radius": None})
    certificate, update = verdict(free, assumed="linear")
    assert certificate.verdict == "CONDITIONAL" and facts(update)["rounding"].status == "estimated"
    assert verdict(free, assumed="linear", radius=2.0)[0].verdict == "PROVED"
    assert facts(forget(run, assumed="linear", radius=1e15))["rounding"].status == "estimated"  # norms may overflow
    for nothing, why in (
        (forget(run, noise=2.0), "must be convex"),
        (forget(trained(network(), optimizer="adam"), noise=2.0), "must be convex"),
        (forget(linear(**BALL, optimizer="adam"), noise=2.0, start="trained", assumed="linear"), "plain SGD"),
        (forget(linear(**BALL, clip_norm=1.0), noise=2.0, start="trained", assumed="linear"), "plain SGD"),
    ):
        assert nothing.bound is None and nothing.guarantee.own_noise == 2.0 and why in nothing.guarantee.missing[0]
        assert cu.certify(nothing, BUDGET).certificate.verdict == "NOT CERTIFIED"


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
    settings = {"noise": 1e-6, "batch_size": 100, "assumed": "linear"}
    rough = forget(single.replace(params=far), **settings)
    fine = forget(double.replace(params=jax.tree.map(lambda p: p.astype(jnp.float64), far)), **settings)
    off = np.linalg.norm(vector(rough.params) - vector(fine.params))
    assert 0 < off <= facts(rough)["rounding"].value < 1e-3 and facts(rough)["rounding"].status == "proved"
    assert rough.bound == pytest.approx((1 - 0.5 * 0.3) * 4 + 2 * facts(rough)["rounding"].value)


def test_parameters_read_off_their_integers_in_float32_are_counted():
    settings = {"batch_size": 100, "assumed": "linear"}
    for dtype, counted in ((jnp.float32, True), (jnp.float64, False)):
        run = linear(**BALL, dtype=dtype)
        quiet, loud = (facts(forget(run, noise=noise, **settings))["rounding"].value for noise in (1e-6, 1.0))
        longest = np.sqrt(vector(run.params).size) + 40  # of noise 1
        assert loud - quiet == pytest.approx(2.0**-23 * longest if counted else 0.0, rel=1e-3, abs=1e-18)
        assert not counted or quiet > 2.0**-23 * BALL["radius"]


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
