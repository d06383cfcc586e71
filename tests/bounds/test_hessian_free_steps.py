"""What every step adds to the Hessian-free bounds, followed by hand; half of a constant would be wrong."""

import math
from itertools import pairwise

import numpy as np
import pytest

import certunl as cu
from certunl.bounds import HessianFreeConstants, deletion_capacity, recursive_bound, uniform_bound
from tests.bounds.naive import POINT, Softmax, one
from tests.bounds.test_hessian_free_bound import FORMS, HOUSE, SLOTS, epochs, softmax


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
