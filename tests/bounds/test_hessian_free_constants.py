"""The constants of the Hessian-free bounds: attained, never exceeded, and none can be halved."""

import math
from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.bounds import (
    HessianFreeConstants,
    deletion_capacity,
    hessian_free_constants,
    measured_contractions,
    recursive_bound,
    uniform_bound,
)
from tests.bounds.naive import Softmax
from tests.bounds.test_hessian_free_bound import FORMS, HOUSE, SLOTS, epochs, softmax
from tests.cases import KEY, classes, network, trained, vector


def linear(kind="softmax", l2=0.0, n=30, dtype=jnp.float64, **recipe):
    """A run of `classification(Linear)` or `regression(Linear)` in the unit ball."""
    data = classes(n=n)
    x = data.x / np.linalg.norm(data.x, axis=1).max()
    if kind == "softmax":
        problem = cu.classification(
            cu.models.Linear(classes=3, dtype=dtype), cu.Dataset(x.astype(dtype), data.y), l2=l2
        )
    else:
        targets = np.sin(np.arange(2.0 * n)).reshape(n, 2)
        problem = cu.regression(cu.models.Linear(classes=2, dtype=dtype), cu.Dataset(x, targets), l2=l2)
    return trained(problem, **recipe)


def one(weights, start, rates=(0.1,), y=0, c=2, **target):
    """Steps on one example each, x = 1: along `weights` copies with label y."""
    x = np.ones((weights, 1))
    return Softmax(
        x, np.full(weights, y), c, np.arange(weights)[:, None], np.asarray(rates), np.asarray(start), **target
    )


POINT = np.log([0.2113248654, 0.7886751346])


def test_the_closed_form_constants_of_softmax_are_those_of_the_page():
    constants = hessian_free_constants(linear(weight_decay=0.1))
    R = math.sqrt(2)  # the bias is a feature of 1
    assert constants.smoothness == pytest.approx(R**2 / 2) and constants.convexity == 0
    assert constants.hessian_lipschitz == pytest.approx(0.27216553 * R**3, rel=1e-7)
    assert constants.gradient_bound == pytest.approx(math.sqrt(2) * R)
    assert constants.gradient_change == constants.gradient_spread / 2 == constants.gradient_bound
    assert constants.status("gradient_bound", "smoothness", "rounding", "contraction") == "proved"


def test_smoothness_and_hessian_lipschitz_are_attained_at_two_points_and_never_exceeded():
    rng, known = np.random.default_rng(0), softmax(norm=1.0)
    halves, skew = (one(1, start) for start in (np.zeros(2), POINT))
    assert np.linalg.norm(halves.derivatives(halves.start, [0])[1][0], 2) == pytest.approx(known.smoothness)
    apart = 1e-3 * np.array([1, -1]) / math.sqrt(2)
    change = np.diff([skew.derivatives(skew.start + s * apart, [0])[1][0] for s in (-1, 1)], axis=0)[0]
    assert 0.999 < np.linalg.norm(change, 2) / (known.hessian_lipschitz * 2e-3) <= 1
    for _ in range(500):
        c, p = rng.integers(2, 6), rng.integers(1, 4)
        x = rng.normal(size=(1, p))
        run = Softmax(x, np.array([0]), c, np.zeros((1, 1), int), np.ones(1), np.zeros(c * p))
        w, v = (rng.normal(size=c * p) * rng.choice([0.1, 1, 5]) for _ in range(2))
        limit, d = softmax(np.linalg.norm(x)), np.linalg.norm(w - v)
        (g, H), (h, K) = (run.derivatives(a, [0]) for a in (w, v))
        assert np.linalg.norm(g) <= limit.gradient_bound and np.linalg.norm(g - h) <= limit.gradient_change
        assert np.linalg.norm(H[0], 2) <= limit.smoothness * (1 + 1e-12)
        assert np.linalg.norm(H[0] - K[0], 2) <= limit.hessian_lipschitz * d
        assert np.linalg.norm(g - h - H[0] @ (w - v)) <= limit.hessian_lipschitz * d**2 / 2 + 1e-15


@pytest.mark.parametrize(
    ("run", "gone", "name", "constant"),
    [
        (one(1, [-9.0, 9.0]), [0], "nothing", "gradient_bound"),  # certain and wrong
        (one(4, POINT, (1e-4, 1, 1e-9, 1e-9)), [0], "first_order", "hessian_lipschitz"),
        (one(4, POINT, (1e-4, 1, 1e-9, 1e-9)), [0], "retained", "hessian_lipschitz"),
    ],
)
def test_half_of_a_constant_would_be_wrong(run, gone, name, constant):
    known, truth = softmax(), run.forget(gone)[name]
    half = softmax(**{constant: getattr(known, constant) / 2})
    position, form = int(name == "nothing"), "first_order" if name == "nothing" else name
    assert recursive_bound(half, **run.batches(gone), form=form)[position] < truth
    assert truth <= recursive_bound(known, **run.batches(gone), form=form)[position]


def test_half_of_the_smoothness_would_be_wrong_where_steps_are_large():
    """Labels in balance hold p = (1/2, 1/2), where each step of 6 doubles a difference: 1 − 6 · 1/2 = −2."""
    indices = np.array([[0, 1], [1, 2], [1, 2], [1, 2]])
    run = Softmax(np.ones((3, 1)), np.array([0, 0, 1]), 2, indices, np.array([1e-6, 6, 6, 6]), np.zeros(2))
    truth = run.forget([0])["nothing"]
    limits = [recursive_bound(softmax(smoothness=b), **run.batches([0]), form="first_order")[1] for b in (0.25, 0.5)]
    assert limits[0] < truth <= limits[1]


@pytest.mark.parametrize("kind", ["softmax", "least squares"])
@pytest.mark.parametrize("l2", [0.0, 0.4])
def test_the_gradient_bound_holds_along_training_and_retraining(kind, l2):
    run = linear(kind, l2, weight_decay=0.1, learning_rate=0.5)
    constants = hessian_free_constants(run)
    gradients = jax.jit(jax.vmap(jax.grad(lambda w, i: run.problem.losses(w, run.problem.data[i[None]])[0]), (None, 0)))
    largest = 0.0
    for gone in ([], range(15)):
        part = run.schedule.without(jnp.array(list(gone), jnp.int32))
        params = cu.fit(run.problem, run.recipe, run.start, part).params
        norms = np.sqrt(
            sum((np.asarray(g) ** 2).reshape(30, -1).sum(1) for g in jax.tree.leaves(gradients(params, jnp.arange(30))))
        )
        largest = max(largest, norms.max())
    assert 0.05 * constants.gradient_bound < largest <= constants.gradient_bound


def test_the_reach_of_least_squares_is_followed_by_hand():
    run = linear("least squares", weight_decay=0.1, learning_rate=0.5, epochs=1, batch_size=30)
    Y = float(np.linalg.norm(run.problem.data.y, axis=1).max())
    reach = float(np.linalg.norm(vector(run.start)))
    reach = max(0.95 * reach, 0.95 * reach + 0.5 * math.sqrt(2) * Y, reach)  # rho = max(.95, |1 − .5 (.1 + 2)|) = .95
    assert hessian_free_constants(run).gradient_bound == pytest.approx(2 * reach + math.sqrt(2) * Y)
    assert hessian_free_constants(run).hessian_lipschitz == 0


def test_the_reach_covers_retraining_that_loses_a_whole_batch():
    """The first step shrinks everyone to 0, unless it is empty; the second, of rate 3, doubles what is left."""
    run = linear(l2=1.0)
    start = jax.tree.map(lambda a: 10 * a / np.linalg.norm(vector(run.start)), run.start)
    schedule = cu.Schedule(np.arange(30).reshape(2, 15), np.ones((2, 15)), np.array([1.0, 3.0]))
    run = cu.fit(run.problem, run.recipe, start, schedule)
    retrained = cu.Retrain().forget(run, None, np.arange(15), KEY).params
    gradient = vector(jax.grad(lambda w: run.problem.losses(w, run.problem.data[:1])[0])(retrained))
    constants = hessian_free_constants(run)
    assert 15 < np.linalg.norm(gradient) <= constants.gradient_bound
    of_data = math.sqrt(2) * math.sqrt(2)
    assert constants.gradient_change - of_data == pytest.approx(2 * (constants.gradient_bound - of_data))
    assert constants.gradient_spread == pytest.approx(2 * of_data)


def test_bounded_gradients_bound_the_reach_where_steps_are_too_large_to_contract():
    constants = hessian_free_constants(linear(l2=0.1, learning_rate=5.0))
    assert constants.gradient_bound <= 2 + 0.1 * 20 + 1e-9  # W' = W/2 + 5 · 2


def test_the_norm_is_that_of_the_inputs_the_model_sees():
    data = cu.Dataset(np.full((4, 1), 1 + 1e-8), np.array([0, 1, 0, 1]))
    run = trained(cu.classification(cu.models.Linear(classes=2, dtype=jnp.float32), data), epochs=1)
    assert hessian_free_constants(run).smoothness == pytest.approx(1, rel=1e-12)


def test_a_step_that_forgets_by_hand():
    """D = 0.1 before a step that loses 3 of 10, or all of them."""
    known = softmax(convexity=0.1, gradient_spread=2.0, contraction=0.9, retained_contraction=0.8)
    rest, span, D = known.hessian_lipschitz * 0.1**2 / 2, 0.4, 0.1

    def second(denominator, form, gone):
        per_share = known.gradient_bound if denominator == "batch" else known.gradient_spread
        steps = {"rates": [0.1 / per_share * 2, 0.5], "sizes": 10, "gone": [5, gone], "divisors": 10}
        steps |= {"weight_decay": 0.2, "denominator": denominator}
        first = recursive_bound(known, **steps | {"rates": [0.1 / per_share * 2, 0.0]}, form=form)[0] / 0.9
        bound, nothing = recursive_bound(known, **steps, form=form)
        return bound, nothing, first

    crossed = {"batch": 0.3 * 0.5 * D, "retained": 0.3 * (0.7 * span * D + 0.3 * 2.0)}
    for denominator in ("batch", "retained"):
        bound, _, first = second(denominator, "first_order", 3)
        assert bound == pytest.approx(0.9 * first + 0.5 * (rest + crossed[denominator]))
    assert second("batch", "retained", 3)[0] == pytest.approx(0.5 * 0.7 * rest)
    assert second("retained", "retained", 3)[0] == pytest.approx(0.5 * rest)
    bound, nothing, first = second("retained", "first_order", 10)
    assert nothing == pytest.approx((1 - 0.5 * 0.2) * D + 0.5 * known.gradient_bound)
    assert bound == pytest.approx(0.9 * first + 0.5 * (rest + known.gradient_bound))
    assert second("retained", "retained", 10)[0] == pytest.approx(0, abs=1e-15)


def test_the_bound_for_every_request_counts_emptied_batches_given_contractions_and_rounding():
    schedule = cu.Schedule(np.array([[0, 1], [2, 3], [0, 2]]), np.ones((3, 2)), np.full(3, 0.1))
    steps = {"weight_decay": 0.2, "denominator": "retained"}
    batches = {"rates": np.full(3, 0.1), "sizes": 2, "divisors": 2} | steps
    for changed in (
        {"gradient_spread": 0.0},
        {"convexity": None, "contraction": 0.5, "retained_contraction": 2.0},
        {"rounding": 0.1},
        {"product_rounding": 0.5},
    ):
        known = softmax(**changed)
        for form in FORMS:
            limits = uniform_bound(known, schedule, forgotten=2, form=form, **steps)
            for ids in ([0, 1], [1, 3], [0, 2], [2, 3]):
                gone = np.isin(schedule.indices, ids).sum(axis=1)
                placed = recursive_bound(known, **batches, gone=gone, form=form)
                assert placed[0] <= limits[0] * (1 + 1e-12) and placed[1] <= limits[1] * (1 + 1e-12)


def test_a_closed_form_is_refused_elsewhere():
    run = linear()
    for recipe in ({"optimizer": "momentum"}, {"radius": 1.0}, {"clip_norm": 1.0}):
        if "radius" not in recipe:
            with pytest.raises(cu.BadInput, match="plain SGD"):
                hessian_free_constants(replace(run, recipe=cu.Recipe(**recipe)))
        with pytest.raises(cu.BadInput, match="plain SGD"):
            measured_contractions(replace(run, recipe=cu.Recipe(**recipe)), KEY)
    with pytest.raises(cu.BadInput, match="needs classification"):
        hessian_free_constants(replace(run, problem=network()))
    with pytest.raises(cu.BadInput, match="weights of 0 and 1"):
        hessian_free_constants(replace(run, schedule=run.schedule.replace(weights=run.schedule.weights / 2)))


def test_contractions_are_the_norms_of_the_steps_derivatives():
    run = linear(weight_decay=0.3, learning_rate=5.0, epochs=2, batch_size=10)
    gone = np.arange(30) < 4
    for asked in (None, gone):
        got = measured_contractions(run, KEY, gone=asked, steps=15)
        x = np.column_stack([run.problem.data.x, np.ones(30)])
        naive = Softmax(x, np.asarray(run.problem.data.y), 3, np.asarray(run.schedule.indices), None, None, 0.3)
        kernel, bias = (np.asarray(run.start["Dense_0"][k]) for k in ("kernel", "bias"))
        w = np.vstack([kernel, bias]).T.ravel()
        for ids, rate, value in zip(naive.indices, np.asarray(run.schedule.rates), got, strict=True):
            left = ids if asked is None else ids[~gone[ids]]
            assert value == pytest.approx(np.linalg.norm(naive.step(w, left, 10, rate)[1], 2), rel=1e-6)
            w = naive.step(w, ids, 10, rate)[0]


def test_given_contractions_serve_losses_that_are_not_convex_and_replace_what_convexity_says():
    settings = {"rates": [0.1, 0.2], "sizes": 4, "gone": [1, 0], "divisors": 4, "weight_decay": 0.0} | HOUSE
    given = softmax(convexity=None, contraction=[1.5, 3.0], retained_contraction=2.0)
    bound, nothing = recursive_bound(given, **settings)
    assert nothing == pytest.approx(2 * 0.1 * math.sqrt(2) / 4)
    assert bound == pytest.approx(0.2 * given.hessian_lipschitz * (nothing / 2) ** 2 / 2)
    assert given.span == 2 * given.smoothness
    with pytest.raises(cu.BadInput, match="2 numbers, got 3"):
        recursive_bound(softmax(contraction=[1.0] * 3), **settings)


def test_a_batch_larger_than_its_divisor_counts_as_much():
    settings = {"rates": [0.1, 0.1], "sizes": [30, 30], "gone": [6, 0], "divisors": 10, "weight_decay": 0.2} | HOUSE
    known = softmax(convexity=0.4)
    bound, nothing = recursive_bound(known, **settings)
    assert nothing == pytest.approx((1 - 0.1 * (0.2 + 3 * 0.4)) * 0.1 * 0.6 * math.sqrt(2))
    before = 0.1 * 0.6 * math.sqrt(2)
    assert bound == pytest.approx(0.1 * 3 * min(known.hessian_lipschitz * before**2 / 2, 0.1 * before))


def test_rounding_of_every_step_is_added_up():
    settings = {"rates": np.full(3, 0.1), "sizes": 5, "gone": 0, "divisors": 5, "weight_decay": 0.0} | HOUSE
    bound, nothing = recursive_bound(softmax(rounding=1e-3, hessian_lipschitz=0.0), **settings)
    assert bound == pytest.approx(3 * 6e-3 + 1e-3) and nothing == pytest.approx(3 * 2e-3)
    more = recursive_bound(softmax(product_rounding=0.5, hessian_lipschitz=0.0), **settings | {"gone": [5, 0, 0]})
    moved = 0.1 * math.sqrt(2)
    assert more[0] == pytest.approx(2 * 0.5 * moved + 5 * 0.5 * moved)


def test_capacity_is_the_last_request_within_the_distance_and_falls_with_it():
    steps = {"weight_decay": 0.1} | HOUSE
    found = [deletion_capacity(softmax(), SLOTS, distance=d, **steps)[0] for d in (8e-4, 0.01, 0.05, 0.2, 1e9)]
    assert found[0] == 0 and found[-1] == 999 and sorted(found) == found
    for m, d in zip(found[1:-1], (0.01, 0.05, 0.2), strict=True):
        inside, outside = (uniform_bound(softmax(), SLOTS, forgotten=k, **steps)[0] for k in (m, m + 1))
        assert inside <= d < outside
    worth = deletion_capacity(softmax(), SLOTS, distance=0.1, **steps)[1]
    for m, better in ((worth, True), (worth + 1, False)):
        bound, nothing = uniform_bound(softmax(), SLOTS, forgotten=m, **steps)
        assert (bound < nothing) is better
    assert deletion_capacity(softmax(), SLOTS, distance=0.1, **steps | {"weight_decay": 0.0})[1] == 0


@pytest.mark.parametrize("form", FORMS)
def test_the_bound_for_every_request_grows_with_its_size_and_small_batches_cost(form):
    steps = {"weight_decay": 0.1, "denominator": "batch", "form": form}
    values = [uniform_bound(softmax(), SLOTS, forgotten=m, **steps) for m in (1, 2, 50, 51, 400, 999)]
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(values))
    small = epochs(1000, 50, 15, 0.5)
    weights = np.ones(small.indices.shape)
    weights[19::20, 10:] = 0  # a last batch of 10
    ragged = cu.Schedule(small.indices, weights, small.rates)
    assert uniform_bound(softmax(), ragged, forgotten=1, **steps)[1] > 4.9 * values[0][1]


def test_bad_constants_and_settings_are_refused():
    steps = {"rates": [0.1], "sizes": 4, "gone": 1, "divisors": 4, "weight_decay": 0.0}
    for call in (
        lambda: softmax(smoothness=-1.0),
        lambda: softmax(convexity=0.6),
        lambda: softmax(convexity=None),
        lambda: softmax(contraction=[-1.0]),
        lambda: softmax(estimated=("smoothnes",)),
        lambda: recursive_bound(softmax(), **steps, denominator="mean", form="retained"),
        lambda: recursive_bound(softmax(), **steps, denominator="batch", form="second"),
        lambda: recursive_bound(softmax(), **steps | {"gone": 5}, **HOUSE),
        lambda: recursive_bound(softmax(), **steps | {"rates": [-0.1]}, **HOUSE),
        lambda: uniform_bound(softmax(), SLOTS, forgotten=0, weight_decay=0.1, **HOUSE),
        lambda: uniform_bound(
            softmax(), SLOTS.replace(weights=SLOTS.weights / 2), forgotten=1, weight_decay=0.1, **HOUSE
        ),
    ):
        with pytest.raises(cu.BadInput):
            call()
    assert HessianFreeConstants(gradient_bound=1, smoothness=1, hessian_lipschitz=1, convexity=0).gradient_change == 2
