"""Rewind-to-delete: the naive loop, the published numbers, and true retraining within the bound."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.bounds import hessian_free_constants
from certunl.bounds.rewind import rewind_bound
from certunl.bounds.theorems.assumed import constants_for
from tests.bounds.test_hessian_free_constants import linear
from tests.cases import KEY, network, ridge, trained, vector

IDS = [2, 5, 11]


def forget(run, ids=IDS, prepared=None, **settings):
    return cu.RewindToDelete(**settings).forget(run, prepared, ids, KEY)


def rewound(K, T=200, mu=0.1, gone=10, smoothness=0.5, contraction=None, **facts):
    known = cu.HessianFreeConstants(
        gradient_bound=np.sqrt(2),
        smoothness=smoothness,
        hessian_lipschitz=1.0,
        convexity=None if contraction else 0.0,
        contraction=contraction,
        retained_contraction=contraction,
        **facts,
    )
    steps = {"rates": [1.0] * T, "sizes": 1000, "gone": gone, "divisors": 1000, "weight_decay": mu}
    return rewind_bound(known, **steps, denominator="retained", rewound=K)[0]


def test_it_is_the_naive_loop_that_drops_the_request_in_its_last_steps():
    run = trained(ridge(), weight_decay=0.2, epochs=4, batch_size=24)  # four full batches
    x, y, w = np.asarray(run.problem.data.x), np.asarray(run.problem.data.y), vector(run.start)
    for step in range(4):
        there = np.isin(np.arange(24), IDS, invert=True) if step >= 1 else np.ones(24, bool)
        w = w - 0.1 * (x[there].T @ (x[there] @ w - y[there]) / 24 + 0.2 * w)
    np.testing.assert_allclose(vector(forget(run, steps=3).params), w, rtol=1e-12)


def test_all_steps_are_retraining_none_are_doing_nothing_and_a_kept_checkpoint_changes_nothing():
    run = trained(network(), weight_decay=0.01)
    truth = cu.Retrain().forget(run, None, IDS, KEY).params
    np.testing.assert_allclose(vector(forget(run, steps=len(run.schedule)).params), vector(truth), rtol=1e-12)
    np.testing.assert_allclose(vector(forget(run, steps=0).params), vector(run.params), rtol=1e-12)
    kept = cu.RewindToDelete().prepare(run)
    np.testing.assert_array_equal(vector(forget(run).params), vector(forget(run, prepared=kept).params))
    assert forget(run).bound is None


def test_the_published_numbers():
    assert rewound(50) == pytest.approx(1.457708e-3, rel=1e-6)  # strongly convex
    assert rewound(50, mu=0.0) == pytest.approx(2 * np.sqrt(2) * 0.01 * 150)  # convex: 2 rate G n_u (T − K)/n
    neither = {(0.1, 500): 1.0, (0.1, 900): 0.9924, (0.1, 990): 0.386, (0.01, 500): 0.924, (0.01, 900): 0.395}
    for (rate, K), share in neither.items():
        q = 1 + rate * 0.5
        whole = rewound(0, T=1000, mu=0.0, contraction=q)
        assert rewound(K, T=1000, mu=0.0, contraction=q) / whole == pytest.approx(share, abs=6e-4)
    assert rewound(200) == 0


@pytest.mark.parametrize("denominator", ["batch", "retained"])
def test_retraining_keeps_the_bound_of_softmax_and_least_squares(denominator):
    ratios = []
    for settings in ({"weight_decay": 0.5}, {"weight_decay": 0.0}, {"weight_decay": 0.1, "batch_size": 60}):
        run = linear(denominator=denominator, learning_rate=0.1, **settings)
        for seed in range(10):
            ids = cu.requests.random(jax.random.key(seed), run, 1 + 3 * (seed % 2))
            truth = cu.Retrain().forget(run, None, ids, KEY).params
            for steps in (0, len(run.schedule) // 2):
                update = forget(run, ids, steps=steps, assumed="linear")
                off = np.linalg.norm(vector(update.params) - vector(truth))
                assert off <= update.bound
                ratios.append(off / update.bound)
    assert max(ratios) > 0.02


def test_a_checkpoint_of_another_run_or_step_is_refused():
    run, method = trained(ridge(), weight_decay=0.2), cu.RewindToDelete(steps=3)
    kept = method.prepare(run)
    others = [
        trained(ridge(), weight_decay=0.2, seed=1),
        trained(ridge(seed=1), weight_decay=0.2),
        run.replace(recipe=cu.Recipe(learning_rate=0.1, epochs=3, batch_size=8, weight_decay=0.3)),
        run.replace(schedule=run.schedule.replace(rates=2 * run.schedule.rates)),
    ]
    for other in others:
        with pytest.raises(cu.BadInput, match="belongs to another run"):
            method.forget(other, kept, IDS, KEY)
    with pytest.raises(cu.BadInput, match="another step"):
        cu.RewindToDelete(steps=4).forget(run, kept, IDS, KEY)
    after = run.minus([0], method.forget(run, kept, [0], KEY).params)
    assert forget(after, prepared=kept, steps=3).method == "rewind_to_delete"


def test_in_a_ball_retraining_keeps_the_bound_and_no_distance_exceeds_twice_its_radius():
    run = linear(learning_rate=0.5, radius=0.4, batch_size=15)
    assert np.linalg.norm(vector(run.params)) > 0.99 * 0.4  # the ball is felt
    for ids in ([4], list(range(20))):
        truth = vector(cu.Retrain().forget(run, None, ids, KEY).params)
        update = forget(run, ids, steps=3, assumed="linear")
        off = np.linalg.norm(vector(update.params) - truth)
        assert 0 < off <= update.bound <= update.guarantee.doing_nothing <= 0.8 * (1 + 1e-9)
    known = cu.HessianFreeConstants(
        gradient_bound=9.0, smoothness=1.0, hessian_lipschitz=1.0, convexity=0.0, rounding=1e-3
    )
    first = {"rates": [0.5] * 2, "sizes": 15, "gone": [15, 0], "divisors": 15, "weight_decay": 0.5}
    for radius, D in ((0.4, 0.75 * (0.8 + 2e-3) + 2e-3), (None, 0.75 * (4.5 + 2e-3) + 2e-3)):
        found = rewind_bound(known, **first, denominator="batch", rewound=0, radius=radius)
        assert found == (pytest.approx(D), pytest.approx(D))


def test_the_reach_of_constants_in_closed_form_ends_at_the_ball():
    run = linear("least squares", learning_rate=0.5, radius=0.4)
    start, Y = np.linalg.norm(vector(run.start)), np.linalg.norm(run.problem.data.y, axis=1).max()
    assert start > 0.4  # initial parameters are not projected
    inside = run.replace(start=jax.tree.map(lambda p: 0.01 * p, run.start))
    for held, reach in ((run, start), (inside, 0.4)):
        assert hessian_free_constants(held).gradient_bound == pytest.approx(2 * reach + np.sqrt(2) * Y)
    wide = inside.replace(recipe=cu.Recipe(learning_rate=0.5, radius=4e9))
    eps = np.finfo(float).eps
    assert hessian_free_constants(wide).rounding > 4e9 * 12 * eps


def test_rounding_of_given_constants_is_estimated_and_unbounded_growth_has_no_theorem():
    run = linear(weight_decay=0.5, learning_rate=0.1)
    known = cu.HessianFreeConstants(gradient_bound=5.0, smoothness=5.0, hessian_lipschitz=5.0, convexity=0.0)
    rounding = {a.symbol: a for a in forget(run, assumed=known).guarantee.assumptions}["rounding"]
    assert rounding.status == "estimated" and 1e-16 < rounding.value < 1e-13
    fast = run.replace(schedule=run.schedule.replace(rates=jnp.full_like(run.schedule.rates, 1e60)))
    assert constants_for(fast, "linear") is None and constants_for(run, "linear") is not None


@pytest.mark.parametrize(("T", "K"), [(1, 0), (6, 0), (6, 2), (40, 10), (40, 39)])
def test_one_weight_attains_the_bound_and_a_broken_one_is_caught(T, K):
    mu, rate, n = 0.5, 0.3, 10

    def losses(params, batch):
        return batch.y * params["w"][0]

    data = cu.Dataset(np.zeros((n, 1)), np.where(np.arange(n) == 0, 1.0, -1.0))
    problem = cu.Problem(init=lambda key: {"w": jnp.zeros(1)}, losses=losses, data=data)
    recipe = {"learning_rate": rate, "epochs": T, "batch_size": n, "weight_decay": mu, "denominator": "retained"}
    run = trained(problem, **recipe)
    known = cu.HessianFreeConstants(gradient_bound=1.0, smoothness=0.0, hessian_lipschitz=0.0, convexity=0.0)
    update = forget(run, [0], steps=K, assumed=known)
    off = np.linalg.norm(vector(update.params) - vector(cu.Retrain().forget(run, None, [0], KEY).params))
    assert off == pytest.approx(update.bound, rel=1e-9)
    q = 1 - rate * mu
    assert update.bound == pytest.approx(rate * 2 / n * q**K * (1 - q ** (T - K)) / (1 - q))


def test_verdicts():
    run = linear(weight_decay=0.5, learning_rate=0.1)
    fixed = cu.Budget(delta=1e-5, sigma=1.0)
    assert cu.certify(forget(run, assumed="linear"), fixed).certificate.verdict == "PROVED"
    free = cu.Budget(epsilon=1.0, delta=1e-5)
    assert cu.certify(forget(run, assumed="linear"), free).certificate.verdict == "CONDITIONAL"
    assert cu.certify(forget(run, steps=0, assumed="linear"), fixed).certificate.verdict == "VACUOUS"
    known = cu.HessianFreeConstants(gradient_bound=5.0, smoothness=5.0, hessian_lipschitz=5.0, convexity=0.0)
    assert cu.certify(forget(run, assumed=known), fixed).certificate.verdict == "CONDITIONAL"
    assert cu.certify(forget(run), fixed).certificate.verdict == "NOT CERTIFIED"
    assert forget(trained(network(), clip_norm=1.0), assumed=known).bound is None


@pytest.mark.parametrize(
    ("settings", "recipe", "sentence"),
    [
        ({"steps": -1}, {}, "steps must be a whole number"),
        ({"steps": 10**6}, {}, "cannot be rewound"),
        ({"assumed": "lines"}, {}, "assumed must be"),
        ({"assumed": "linear"}, {}, "closed form needs"),
        ({}, {"optimizer": "momentum"}, "but no optimizer state"),
    ],
)
def test_what_cannot_be_rewound_is_refused(settings, recipe, sentence):
    run = trained(network(), epochs=1, **recipe)
    with pytest.raises(cu.BadInput, match=sentence):
        forget(run, **settings)


def test_another_model_in_the_place_of_the_checkpoint_is_refused():
    run = trained(ridge(), weight_decay=0.1)
    method = cu.RewindToDelete()
    prepared = method.prepare(run)
    with pytest.raises(cu.BadInput, match="not those that prepare computed"):
        method.forget(run, replace(prepared, params=run.params), IDS, KEY)
