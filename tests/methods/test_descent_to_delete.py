"""Descent-to-delete: the naive loop, the published numbers, and the true minimiser within the bound."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.bounds.descent import descent_bound, descent_contraction, start_distance, steps_needed
from tests.cases import KEY, classes, network, ridge, trained, vector

IDS = [2, 5, 11]
RATE = {"learning_rate": 0.3, "assumed": "linear"}


def softmax(denominator="retained", seed=0, **recipe):
    model = cu.models.Linear(classes=3, dtype=np.float64)
    problem = cu.classification(model, classes(n=40, seed=seed))
    settings = {"weight_decay": 0.5, "epochs": 10, "denominator": denominator, "radius": 5.0}
    return trained(problem, **settings | recipe)


def forget(run, ids=IDS, **settings):
    return cu.DescentToDelete(**settings).forget(run, None, ids, KEY)


@pytest.mark.parametrize("denominator", ["batch", "retained"])
def test_it_is_the_naive_projected_loop_on_the_retained_risk(denominator):
    run = trained(ridge(), weight_decay=0.2, denominator=denominator, radius=0.3)
    x, y = (np.delete(np.asarray(a), IDS, axis=0) for a in (run.problem.data.x, run.problem.data.y))
    w = vector(run.params)
    for _ in range(4):
        w = w - 0.2 * (x.T @ (x @ w - y) / (24 if denominator == "batch" else 21) + 0.2 * w)
        w *= min(1, 0.3 / np.linalg.norm(w))
    got = forget(run, steps=4, learning_rate=0.2)
    np.testing.assert_allclose(vector(got.params), w, rtol=1e-12)
    assert got.bound is None


def test_the_published_numbers():
    a = start_distance(gradient_bound=np.sqrt(2), forgotten=10, examples=1000, strong_convexity=0.1, mean=True)
    q = descent_contraction(learning_rate=1.0, strong_convexity=0.1, smoothness=0.6)
    assert (round(a, 6), q) == (0.282843, 0.9)
    for steps, bound in ((10, 0.0986212), (50, 1.457708e-3), (100, 7.512698e-6)):
        assert descent_bound(distance=a, contraction=q, steps=steps, rounding=0) == pytest.approx(bound, rel=1e-6)
    for sigma, steps in ((0.01, 45), (0.1, 24)):
        assert steps_needed(per_request=a, contraction=q, distance=0.2680511232 * sigma) == steps
    slow = start_distance(gradient_bound=np.sqrt(2), forgotten=10, examples=1000, strong_convexity=0.01, mean=True)
    assert descent_bound(distance=slow, contraction=0.99, steps=100, rounding=0) / slow == pytest.approx(
        0.366, abs=1e-4
    )


@pytest.mark.parametrize("denominator", ["batch", "retained"])
def test_the_minimiser_keeps_every_bound_and_a_squared_contraction_is_caught(denominator):
    run, caught = softmax(denominator), 0
    L = np.max(np.sum(np.asarray(run.problem.data.x) ** 2, axis=1) + 1) / 2
    moving = {"assumed": "linear", "learning_rate": 1 / (L + 0.5)}
    for seed in range(25):
        ids = cu.requests.random(jax.random.key(seed), run, 1 + 4 * (seed % 3))
        best = forget(run, ids, steps=2000, **moving).params
        if seed == 0:
            data = run.problem.data[np.delete(np.arange(40), ids)]
            count = 40 if denominator == "batch" else len(data)
            g = jax.grad(run.problem.risk)(best, data, np.full(len(data), 1 / count))
            assert np.linalg.norm(vector(g) + 0.5 * vector(best)) < 1e-10
        for start in ("ball", "gradient"):
            update = forget(run, ids, steps=5, start=start, **moving)
            off = np.linalg.norm(vector(update.params) - vector(best))
            assert off <= update.bound
        q = {a.symbol: a.value for a in update.guarantee.assumptions}["q"]
        caught += off > update.bound * q**15
    assert caught > 0


def test_the_distance_of_two_minimisers_is_below_the_one_known_before_the_request():
    run = softmax("retained")
    R = np.sqrt(np.max(np.sum(np.asarray(run.problem.data.x) ** 2, axis=1) + 1))
    moving = {"steps": 2000, "learning_rate": 1 / (R**2 / 2 + 0.5)}
    for k in (1, 5, 15):
        ids = np.argsort(-np.asarray(run.problem.scores(run.params, run.problem.data).losses))[: k + 1]
        one, both = forget(run, ids[:1], **moving), forget(run, ids, **moving)  # k more leave the n - 1
        a = start_distance(gradient_bound=np.sqrt(2) * R, forgotten=k, examples=39, strong_convexity=0.5, mean=True)
        assert 0 < np.linalg.norm(vector(one.params) - vector(both.params)) <= a


def test_verdicts_proved_where_the_noise_is_fixed_and_conditional_for_what_was_measured():
    run = softmax()
    fixed = cu.Budget(epsilon=1.0, delta=1e-5, distance=5.0)
    verdict = {}
    for start in ("ball", "gradient"):
        update = forget(run, steps=30, start=start, **RATE)
        verdict[start] = cu.certify(update, fixed).certificate.verdict
        free = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5)).certificate
        assert free.verdict == "CONDITIONAL" and update.guarantee.reference.startswith(
            "the minimiser of the retained risk over"
        )
    assert verdict == {"ball": "PROVED", "gradient": "CONDITIONAL"}
    q = 1 - 0.3 * 0.5
    assert forget(run, steps=30, **RATE).bound == pytest.approx(q**30 * 10, rel=1e-9)


def test_the_rounding_of_float32_is_in_the_bound():
    model = cu.models.Linear(classes=3)
    data = classes(n=40)
    problem = cu.classification(model, replace(data, x=data.x.astype(np.float32)))
    run = trained(problem, weight_decay=0.5, radius=5.0)
    exact = trained(
        cu.classification(cu.models.Linear(classes=3, dtype=np.float64), data), weight_decay=0.5, radius=5.0
    )
    update, best = forget(run, steps=300, **RATE), forget(exact, steps=300, **RATE)
    assert 0 < np.linalg.norm(vector(update.params) - vector(best.params)) <= update.bound < 0.01
    assert {a.symbol: a.status for a in update.guarantee.assumptions}["rounding"] == "proved"


@pytest.mark.parametrize(
    ("run", "settings", "sentence"),
    [
        (softmax, {"assumed": "linear", "learning_rate": 50.0}, "too large to converge"),
        (lambda: softmax(radius=None), {"assumed": "linear", "start": "ball"}, "needs a model trained in a ball"),
        (lambda: softmax(radius=0.1), {"assumed": "linear"}, "may lie outside the ball"),
        (lambda: softmax(weight_decay=0.0), {"assumed": "linear"}, "needs weight decay"),
        (lambda: trained(network(), weight_decay=0.1), {"assumed": "linear"}, "closed form needs"),
        (softmax, {"steps": 0}, "steps must be"),
        (softmax, {"learning_rate": 0.0}, "learning_rate must be"),
        (softmax, {"assumed": "lines"}, "assumed must be"),
        (softmax, {"start": "here"}, "start must be one of ball, gradient"),
    ],
)
def test_what_the_theorem_does_not_hold_for_is_refused(run, settings, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        forget(run(), **settings)
