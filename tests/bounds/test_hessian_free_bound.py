"""The bounds on the Hessian-free method: published numbers, then the inequality on problems made to break it."""

import math

import numpy as np
import pytest

import certunl as cu
from certunl.bounds import HessianFreeConstants, published_bound, recursive_bound, uniform_bound
from certunl.certificates.gaussian import noise_ratio
from tests.bounds.naive import Softmax

FORMS = ("first_order", "retained")
TARGETS = {
    "regulariser in the loss": {"l2": 0.3},
    "fixed denominator": {"weight_decay": 0.3},
    "mean of the remaining": {"weight_decay": 0.3, "denominator": "retained"},
    "both regularisers": {"weight_decay": 0.1, "l2": 0.2},
}


def softmax(norm=1.0, l2=0.0, reach=0.0, **changed):
    """The constants of section 5.3, parameters of norm at most `reach`."""
    G = math.sqrt(2) * norm
    settings = {
        "gradient_bound": G + l2 * reach,
        "smoothness": norm**2 / 2 + l2,
        "hessian_lipschitz": math.sqrt(6) / 9 * norm**3,
        "convexity": l2,
        "gradient_change": G + 2 * l2 * reach,
        "gradient_spread": 2 * G,
    }
    return HessianFreeConstants(**settings | changed)


def epochs(n, b, count, rate, decay=1.0):
    """A schedule that visits everyone once an epoch, in the same order."""
    indices = np.tile(np.arange(n).reshape(-1, b), (count, 1))
    rates = rate * decay ** np.arange(len(indices))
    return cu.Schedule(indices, np.ones(indices.shape), rates, np.full(len(indices), float(b)))


HOUSE = {"denominator": "batch", "form": "first_order"}
SLOTS = epochs(1000, 50, 15, 0.5)


@pytest.mark.parametrize(("decay", "nothing", "bound"), [(0.05, 0.03558, 0.003873), (0.1, 0.02204, 0.0008332)])
def test_the_bound_for_every_request_is_linear_and_quadratic_in_its_size_with_the_recorded_factors(
    decay, nothing, bound
):
    for m in (1, 7, 20):
        got = uniform_bound(softmax(), SLOTS, forgotten=m, weight_decay=decay, **HOUSE)
        assert got[0] / m**2 == pytest.approx(bound, rel=2e-4) and got[1] / m == pytest.approx(nothing, rel=3e-4)


@pytest.mark.parametrize(("decay", "bound"), [(0.05, 0.0024794), (0.1, 0.00036667)])
def test_the_worst_placement_of_one_has_the_recorded_bound_and_what_doing_nothing_costs_everyone(decay, bound):
    run = Softmax(np.zeros((1, 1)), np.zeros(1, int), 2, SLOTS.indices, SLOTS.rates, np.zeros(2), decay)
    placed = np.array([recursive_bound(softmax(), **run.batches([50 * s]), form="first_order") for s in range(20)])
    assert placed[:, 0].max() == pytest.approx(bound, rel=2e-4)
    everyone = uniform_bound(softmax(), SLOTS, forgotten=7, weight_decay=decay, **HOUSE)
    assert 7 * placed[:, 1].max() == pytest.approx(everyone[1], rel=1e-9)


def test_the_noise_for_one_request_is_the_recorded_one():
    bounds = uniform_bound(softmax(), SLOTS, forgotten=1, weight_decay=0.05, **HOUSE)
    assert np.allclose(noise_ratio(1.0, 1e-5) * np.array(bounds), (0.01445, 0.1327), rtol=4e-4)


PAPER = {"learning_rate": 0.05, "decay": 0.995, "gradient_bound": 5.0, "examples": 1000, "batch_size": 32, "epochs": 15}


def test_the_paper_s_bound_has_the_recorded_values_in_both_spellings():
    code = {"spelling": "code", "contraction": 1.0}
    assert published_bound(**PAPER, **code, forgotten=0) == pytest.approx(0.010513, abs=5e-7)
    assert published_bound(**PAPER, **code, forgotten=1) == pytest.approx(0.092995, abs=5e-7)
    assert published_bound(**PAPER, **code, forgotten=10) == pytest.approx(0.835336, abs=5e-7)
    for rho, first, second in ((1.0, 412.649, 0.0944942), (0.975, 19.8379, 0.00167825)):
        derived = {"spelling": "derived", "contraction": rho, "slot": 3}
        zero = published_bound(**PAPER, **derived, forgotten=0)
        assert zero == pytest.approx(first, rel=2e-6)
        assert published_bound(**PAPER, **derived, forgotten=1) - zero == pytest.approx(second, rel=2e-6)
    with pytest.raises(cu.BadInput, match="code or derived"):
        published_bound(**PAPER, contraction=1.0, forgotten=1, spelling="printed")


def test_the_derived_spelling_is_the_sum_it_abbreviates_and_the_code_s_is_below_it():
    q, rho, eta, B, T, m, slot = 0.995, 0.97, 0.05, 32, 480, 4, 3
    error = 0.0
    for t in range(T):
        error = rho * error + eta * q**t * (2 * 5.0 * eta * (1 - q**t) / (1 - q))
        error += eta * q**t * m / 32 * 2 * 5.0 if t % B == slot else 0.0
    settings = {"contraction": rho, "forgotten": m}
    assert published_bound(**PAPER, **settings, spelling="derived", slot=slot) == pytest.approx(error, rel=1e-12)
    assert published_bound(**PAPER, **settings, spelling="code") < error


TABLE = {  # weight decay, rate, batch, decay: m, D_T, Delta_T, the retained form's
    (0.5, 0.05, 32, 0.995): [(1, 2.7e-3, 4.2e-6, 1.9e-6), (10, 2.8e-2, 4.4e-4, 1.9e-4), (50, 0.146, 1.2e-2, 5.0e-3)],
    (0.05, 0.5, 250, 0.995): [(1, 2.1e-2, 5.8e-4, 4.8e-4), (50, 1.04, 1.43, 1.1)],
    (0.01, 0.5, 32, 0.999): [(10, 1.19, 11, 10)],
}


@pytest.mark.parametrize("settings", TABLE)
def test_random_requests_have_the_recorded_bounds_and_with_half_weight_decay_50_of_1000_are_worth_unlearning(settings):
    weight_decay, rate, b, decay = settings
    rng = np.random.default_rng(0)
    indices = np.concatenate([rng.permutation(1000)[: 1000 // b * b].reshape(-1, b) for _ in range(15)])
    rates = rate * decay ** np.arange(len(indices))
    run = Softmax(np.zeros((1, 1)), np.zeros(1, int), 10, indices, rates, np.zeros(10), weight_decay)
    for m, *recorded in TABLE[settings]:
        got = []
        for _ in range(12):  # the recorded requests and schedules were drawn: the mean of such draws comes near
            batches = run.batches(rng.choice(1000, m, replace=False))
            first, nothing = recursive_bound(softmax(), **batches, form="first_order")
            got.append((nothing, first, recursive_bound(softmax(), **batches, form="retained")[0]))
        assert np.allclose(np.mean(got, axis=0), recorded, rtol=0.12)
        assert weight_decay < 0.5 or all(first < nothing for nothing, first, _ in got)


def test_the_most_that_are_worth_unlearning_follow_the_rule_within_40_percent():
    """m/n = lambda²/(M G*/2 + beta' lambda), requests spread evenly, long training."""
    M = math.sqrt(6) / 9
    for decay, inside, recorded in ((0.5, 0, 560), (0.5, 1, 240), (0.1, 0, 41), (0.1, 1, 22), (0.05, 0, 11)):
        l2, weight_decay = (decay, 0.0) if inside else (0.0, decay)
        constants = softmax(l2=l2, reach=math.sqrt(2) / decay)
        rule = 1000 * decay**2 / (M * constants.gradient_bound / 2 + constants.smoothness * decay)

        def worth(m, constants=constants, weight_decay=weight_decay):
            steps = {"rates": np.full(600, 0.5), "sizes": 50, "divisors": 50, "weight_decay": weight_decay}
            bound, nothing = recursive_bound(constants, **steps, gone=m / 20, **HOUSE)
            return bound < nothing

        largest = next(m for m in range(1, 1000) if not worth(m)) - 1
        assert largest == pytest.approx(recorded, rel=0.05) and largest == pytest.approx(rule, rel=0.4)


def random_problem(rng, target):
    """A small problem, half of the time made hard: one repeated example, large steps, everything lost from a batch."""
    p, c, b, per_epoch, count = rng.integers(1, 4), rng.integers(2, 4), rng.integers(1, 5), rng.integers(1, 4), 3
    n = b * per_epoch
    x = rng.normal(size=(n, p))
    if rng.random() < 0.5:
        x = np.tile(x[:1], (n, 1))
    x *= rng.uniform(0.3, 2) / np.linalg.norm(x, axis=1).max()
    y = np.zeros(n, int) if rng.random() < 0.3 else rng.integers(0, c, n)
    indices = np.concatenate([rng.permutation(n).reshape(per_epoch, b) for _ in range(count)])
    rates = np.exp(rng.uniform(-4, 1)) * rng.uniform(0.8, 1) ** np.arange(len(indices))
    start = rng.normal(size=c * p) * rng.choice([0, 1, 3])
    gone = rng.choice(n, rng.integers(1, n + 1), replace=False) if rng.random() < 0.7 else indices[0]
    run = Softmax(x, y, c, indices, rates, start, **target)
    reach, largest = np.linalg.norm(start), np.linalg.norm(start)
    R = np.linalg.norm(x, axis=1).max()
    for rate in rates:  # whoever is there: nobody, or all
        ends = [abs(1 - rate * (run.weight_decay + k * run.l2)) * reach + rate * k * math.sqrt(2) * R for k in (0, 1)]
        reach = max(ends)
        largest = max(largest, reach)
    return run, gone, softmax(R, run.l2, largest)


@pytest.mark.parametrize("target", TARGETS)
def test_no_random_problem_breaks_the_bounds_and_some_come_close(target):
    rng = np.random.default_rng(1)
    largest = dict.fromkeys(("nothing", *FORMS), 0.0)
    for _ in range(400):
        run, gone, constants = random_problem(rng, TARGETS[target])
        truth = run.forget(gone)
        for form in FORMS:
            bound, nothing = recursive_bound(constants, **run.batches(gone), form=form)
            for name, limit in ((form, bound), ("nothing", nothing)):
                assert truth[name] <= limit * (1 + 1e-9) + 1e-13
                largest[name] = max(largest[name], truth[name] / limit if limit > 1e-9 else 0)
    assert largest["nothing"] > 0.9 and largest["first_order"] > 0.3 and largest["retained"] > 0.1


@pytest.mark.parametrize("target", TARGETS)
def test_the_bound_for_every_request_covers_every_placement(target):
    rng = np.random.default_rng(2)
    for _ in range(60):
        run, _, constants = random_problem(rng, TARGETS[target])
        schedule = cu.Schedule(
            run.indices, np.ones(run.indices.shape), run.rates, np.full(len(run.rates), run.indices.shape[1])
        )
        m = int(rng.integers(1, len(run.x) + 1))
        for form in FORMS:
            limits = uniform_bound(constants, schedule, forgotten=m, form=form, **run.target())
            for _ in range(10):
                gone = rng.choice(len(run.x), rng.integers(1, m + 1), replace=False)
                placed = recursive_bound(constants, **run.batches(gone), form=form)
                assert placed[0] <= limits[0] * (1 + 1e-9) and placed[1] <= limits[1] * (1 + 1e-9)
