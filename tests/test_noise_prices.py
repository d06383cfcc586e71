"""What training with noise costs each example, held against an independent account and against audits."""

from dataclasses import replace

import dp_accounting
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld

import certunl as cu
from certunl.bounds.slots import slot_ratio, sum_rounding
from certunl.bounds.theorems.noisy_training import noisy_training, prices
from certunl.certificates.gaussian import read_epsilon
from certunl.certificates.secret import spent
from certunl.planning import noise_prices
from certunl.training.loop import begin
from certunl.training.noisy import noisy_steps
from certunl.training.noisy_gradient import noise_grid
from tests.cases import KEY, classes, network, vector
from tests.noisy import one_against_many, run_of


def test_a_sum_changes_by_no_more_than_the_price_counts_when_examples_leave_it():
    with jax.enable_x64(False):
        data = cu.Dataset(np.random.default_rng(0).normal(size=(200, 20)).astype(np.float32), np.arange(200) % 3)
        problem = cu.classification(cu.models.MLP(hidden=(40,), classes=3), data)
        small = {"clip_each": 0.05, "noise": 1e-3, "learning_rate": 10.0}
        recipe = cu.Recipe(batch_size=200, epochs=1, **small)
        schedule = cu.train(problem, replace(recipe, noise=0.0, clip_each=None), KEY).schedule
        start, seed = problem.init(KEY), b"same"
        cells = noise_grid(recipe, 200) / 0.05
        for gone in ([3], [5, 6, 7], list(range(90, 140))):
            ends = []
            for rows in (schedule, schedule.without(gone)):
                state, _ = noisy_steps(problem, recipe, begin(problem, recipe, start), rows, seed, 0, 1)
                ends.append(vector(state[0]))
            moved = np.linalg.norm(ends[0] - ends[1]) * 200 / 10 / 0.05  # rate, divisor and C undone
            most = len(gone) + 2 * sum_rounding(128, len(ends[0]), cells)
            assert 0.5 < moved < most + 2e-3  # the parameters themselves are rounded to float32


def test_the_ratio_is_that_of_an_independent_account():
    slots = np.array([1, 0, 2, 1, 3, 0, 1])
    ratio = slot_ratio(slots, slots > 0, noise=4.0)
    assert ratio == pytest.approx(np.sqrt(np.sum(slots**2)) / 4)
    parts = [pld.from_gaussian_mechanism(4.0 / k, value_discretization_interval=1e-4) for k in slots if k]
    composed = parts[0]
    for part in parts[1:]:
        composed = composed.compose(part)
    for delta in (1e-5, 1e-3):
        exact, theirs = read_epsilon(1 / ratio, delta), composed.get_epsilon_for_delta(delta)
        assert exact == pytest.approx(theirs, rel=2e-3)
        assert dp_accounting.get_epsilon_gaussian(1 / ratio, delta) == pytest.approx(exact)


def test_the_price_of_a_request_counts_slots_of_a_step_together():
    run = run_of(epochs=3)
    indices = np.asarray(run.schedule.indices)
    rounding = sum_rounding(10, len(vector(run.start)), noise_grid(run.recipe, 10) / 0.5)
    for request in ([4], [4, 9, 11], list(range(20))):
        says = noisy_training(run, np.isin(np.arange(30), request)).says
        slots = np.isin(indices, request).sum(axis=1)
        assert says.apart == pytest.approx(np.sqrt(np.sum((slots + rounding * (slots > 0)) ** 2)) / 2)
    each = prices(run)
    assert np.allclose(each, np.sqrt(3) * (1 + rounding) / 2)
    assert np.allclose([noisy_training(run, np.arange(30) == i).says.apart for i in range(30)], each)
    owned = run_of(network(owners=np.repeat(np.arange(10), 3)))
    by_owner = prices(owned)
    assert by_owner.shape == (10,)
    truth = [noisy_training(owned, np.repeat(np.arange(10), 3) == owner).says.apart for owner in range(10)]
    assert np.allclose(by_owner, truth, rtol=1e-3) and (by_owner >= np.array(truth) * (1 - 1e-12)).all()


def attack(noise, claimed, runs=400):
    """An audit of doing nothing, whose training has `noise` and whose certificate says `claimed`."""
    problem = one_against_many()
    recipe = cu.Recipe(learning_rate=1.0, epochs=4, batch_size=8, clip_each=1.0, noise=noise)
    run = cu.train(problem, recipe, KEY, noise_key=KEY)
    masked = run.schedule.without([0])

    def ends(schedule):
        def one(key):
            state = begin(problem, recipe, run.start)
            return noisy_steps(problem, recipe, state, schedule, spent(key), 0, 4)[0][0]

        return one

    update = cu.NoisyRetrain().forget(replace(run, recipe=replace(recipe, noise=claimed)), None, [0], KEY)
    release = cu.certify(update, cu.Budget(epsilon=4.5, delta=1e-5))
    return cu.audit_runs(
        ends(run.schedule), ends(masked), release.certificate, runs=runs, key=KEY, statistic=lambda p: float(p["w"][0])
    )


def test_the_price_is_not_refuted_and_with_half_the_noise_it_is():
    fair, half = attack(2.0, 2.0), attack(1.0, 2.0)
    assert not fair.refuted and fair.lower > 0.3
    assert half.refuted


def test_canaries_do_not_refute_the_price():
    problem = cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), classes(40))
    run = run_of(problem, noise_key=None, noise=8.0)
    budget = cu.Budget(epsilon=15.0, delta=1e-5)
    for method in (cu.NoisyRetrain(), cu.NoisyRetrain(rewind_to=0)):
        audit = cu.audit_canaries(run, method, budget, classes(20, seed=3), KEY)
        assert not audit.refuted and audit.guesses > 0 and "coins" in audit.how


def test_the_plan_says_the_worst_price_and_that_of_a_request():
    run = run_of(states=3, epochs=4)
    plan = noise_prices(run, [4, 9], delta=1e-3)
    assert plan.places == (0, 4, 8, 12) and plan.worst[0] == plan.request[0] == 0
    for place, worst, of in zip(plan.places[1:], plan.worst[1:], plan.request[1:], strict=True):
        assert worst == read_epsilon(1 / prices(run, place).max(), 1e-3)
        apart = noisy_training(run, np.isin(np.arange(30), [4, 9]), until=place).says.apart
        assert of == read_epsilon(1 / apart, 1e-3) > worst
    after = run.minus([4], run.params)
    alone = [noisy_training(run, np.isin(np.arange(30), [4, i])).says.apart for i in range(30) if i != 4]
    assert np.allclose(np.delete(prices(after), 4), alone, rtol=1e-3)
    assert noise_prices(after).worst[-1] > noise_prices(run).worst[-1]
    assert "this request" in str(plan) and "this request" not in str(noise_prices(run))
