"""Poisson batches that the secret of the noise draws: their law, their price, and the certificates that rest on it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import certunl as cu
from certunl.bounds.theorems.noisy_training import noisy_training, request_epsilon, worst_epsilon
from certunl.bounds.theorems.secret_batches import DELTAS, batches_are_secret
from certunl.certificates.gaussian import read_epsilon
from certunl.certificates.mixtures import mixture_epsilon
from certunl.membership.relearning import relearnt
from certunl.planning import noise_prices
from certunl.training.drawing import draw
from certunl.training.secret_batches import MISSED, batch_slots, members_and_slots
from tests.cases import KEY, classes, gap
from tests.noisy import run_of
from tests.verbs import certunl, refused


def small(**more):
    data = classes(30)
    data = cu.Dataset(data.x, data.y, **more)
    return cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), data)


def secret_run(problem=None, *, noise_key=None, **settings):
    return run_of(problem or small(), noise_key=noise_key, **{"batches": "secret", "noise": 4.0} | settings)


def test_every_example_is_in_every_batch_with_the_same_probability_and_independently():
    indices, weights = members_and_slots(b"a secret", 40, 10, 4000)
    inside = np.zeros((4000, 40), bool)
    inside[np.nonzero(weights)[0], indices[weights != 0]] = True
    assert inside.sum() == (weights != 0).sum()  # nobody twice
    counts, sizes = inside.sum(axis=0), inside.sum(axis=1)
    for q, right in ((0.25, True), (0.23, False), (0.27, False)):
        far = np.abs(counts - 4000 * q) / np.sqrt(4000 * q * (1 - q))
        assert (far.max() < 4.5 and abs(far @ far / 40 - 1) < 0.9) == right
    assert sizes.mean() == pytest.approx(10, abs=0.2) and sizes.var() == pytest.approx(7.5, rel=0.1)
    together = np.corrcoef(inside.T) - np.eye(40)
    assert np.abs(together).max() < 5 / np.sqrt(4000)
    steps = np.corrcoef(inside[:-1].ravel(), inside[1:].ravel())[0, 1]
    assert abs(steps) < 5 / np.sqrt(4000 * 40)


def test_the_members_of_a_batch_take_slots_at_random():
    indices, weights = members_and_slots(b"a secret", 4, 2, 6000)
    counts = np.zeros((4, 4))
    pairs = (weights != 0).sum(axis=1) == 2
    for row, weight in zip(indices[pairs], weights[pairs] != 0, strict=True):
        (first, second) = (int(np.flatnonzero(weight & (row == i))[0]) for i in sorted(row[weight]))
        counts[first, second] += 1
    off = counts[~np.eye(4, dtype=bool)]
    assert np.trace(counts) == 0 and stats.chisquare(off).pvalue > 1e-4


def test_the_slots_suffice_but_for_the_probability_that_delta_pays():
    for examples, batch, steps in (
        (60_000, 2_000, 900),
        (10_000, 10, 10_000),
        (500, 100, 50),
        (30, 10, 6),
        (40, 40, 3),
    ):
        slots = batch_slots(examples, batch, steps)
        assert batch < slots or slots == examples
        assert steps * stats.binom.sf(slots, examples, batch / examples) <= MISSED
    assert members_and_slots(b"x", 60_000, 50, 3)[0].shape == (3, batch_slots(60_000, 50, 3))
    indices, weights = members_and_slots(b"x", 7, 7, 3)
    assert weights.all() and (np.sort(indices) == np.arange(7)).all()


def test_the_batches_depend_on_the_secret_and_not_on_the_key_of_training():
    recipe, problem = cu.Recipe(batch_size=10, epochs=2, clip_each=0.5, noise=2.0, batches="secret"), small()
    first, other = (cu.train(problem, recipe, jax.random.key(i), noise_key=KEY) for i in (1, 2))
    assert (first.schedule.indices == other.schedule.indices).all() and gap(first.start, other.start) > 0
    runs = [first, *(cu.train(problem, recipe, jax.random.key(1)) for _ in range(2))]
    for i, j in ((0, 1), (1, 2)):
        assert (runs[i].schedule.indices != runs[j].schedule.indices).any()
    assert (np.asarray(first.schedule.divisors) == 10).all() and gap(runs[1].start, first.start) == 0


def test_certificates_are_proved_by_a_secret_and_conditional_by_a_jax_key():
    budget = cu.Budget(epsilon=9.0, delta=1e-5)
    for noise_key, verdict in ((None, "PROVED"), (KEY, "CONDITIONAL")):
        run = secret_run(noise_key=noise_key, states=2)
        release = cu.certify(cu.NoisyRetrain().forget(run, None, [4], cu.secret_key()), budget)
        assert release.certificate.verdict == verdict and batches_are_secret(run)
        assert "the same training with noise and secret Poisson batches" in str(release.certificate)
        assert (
            release.certificate.epsilon
            == worst_epsilon(run, 1e-5)
            == pytest.approx(mixture_epsilon(1e-5, group=1, rate=1 / 3, noise=4.0, steps=6), rel=1e-3)
        )
    with pytest.raises(cu.BadInput, match="more than the budget"):
        cu.certify(cu.NoisyRetrain().forget(run, None, [4], cu.secret_key()), cu.Budget(epsilon=0.1, delta=1e-5))


def test_only_batches_that_the_secret_drew_have_the_price_of_secret_ones():
    run = secret_run()
    drawn = draw(KEY, run.recipe, 30)
    member = int(np.asarray(run.schedule.indices)[np.asarray(run.schedule.weights) != 0][0])  # some are in no batch
    given = cu.fit(run.problem, run.recipe, run.start, run.schedule)
    poisson = secret_run(batches="poisson")
    others = [
        given,
        poisson,
        replace(poisson, recipe=run.recipe),
        replace(run, schedule=replace(drawn, indices=drawn.indices)),
        replace(run, schedule=run.schedule.without([member])),
        replace(run, recipe=replace(run.recipe, batch_size=1)),
        replace(run, noise=replace(run.noise, batches="")),
        replace(run, noise=None),
    ]
    assert batches_are_secret(run)
    for one in others:
        assert not batches_are_secret(one)
        guarantee = noisy_training(one, np.arange(30) == 4)
        assert isinstance(guarantee.says, cu.certificates.OwnNoise) and "same schedule" in guarantee.reference
    vouched = replace(given, noise=replace(given.noise, batches=run.noise.batches))
    assert batches_are_secret(vouched) and noisy_training(vouched, np.arange(30) == 4).unchecked  # the seal is broken
    for one in (
        replace(run, recipe=replace(run.recipe, noise=9.0)),
        replace(run, recipe=replace(run.recipe, epochs=9)),
    ):
        assert (
            noisy_training(one, np.arange(30) == 4).unchecked and not noisy_training(run, np.arange(30) == 4).unchecked
        )


def test_the_price_falls_with_the_step_and_grows_with_everyone_forgotten():
    run = secret_run(states=3)
    ask = {"rate": 1 / 3, "noise": 4.0}
    for step in (6, 4, 2, 0):
        update = cu.NoisyRetrain(rewind_to=step).forget(run, None, [4, 9], cu.secret_key())
        pairs = {delta: epsilon for epsilon, delta in update.guarantee.says.pairs}
        assert set(pairs) <= set(DELTAS) and len(pairs) > 60 if step else pairs == {1e-18: 0}
        for delta in (1e-5, 1e-3) if step else ():
            truth = mixture_epsilon(delta, group=2, steps=step, **ask)
            assert truth <= pairs[delta] <= truth * (1 + 1e-3)
    assert cu.certify(update, cu.Budget(epsilon=0.1, delta=1e-12)).certificate.epsilon == 0
    after = run.minus([4, 9], update.params)
    says = cu.NoisyRetrain().forget(after, None, [11], cu.secret_key()).guarantee.says
    assert (request_epsilon(run, np.isin(np.arange(30), [4, 9, 11]), 1e-5, 6), 1e-5) in says.pairs
    assert worst_epsilon(after, 1e-5) == pytest.approx(mixture_epsilon(1e-5, group=3, steps=6, **ask), rel=1e-3)
    plan = noise_prices(run, [4, 9])
    assert plan.worst == tuple(worst_epsilon(run, 1e-5, place) for place in (0, 2, 4, 6)) and plan.worst[0] == 0
    assert list(plan.request) == sorted(plan.request) and plan.request[-1] > plan.worst[-1]


def test_an_owner_is_a_group_of_all_its_examples():
    owners = np.repeat(np.arange(3), [5, 10, 15])
    run = secret_run(small(owners=owners), noise=20.0)
    ask = {"rate": 1 / 3, "noise": 20.0, "steps": 6}
    assert worst_epsilon(run, 1e-5) == pytest.approx(mixture_epsilon(1e-5, group=15, **ask), rel=1e-3)
    request = cu.requests.by_owner(run, [0])
    assert noise_prices(run, request).request[-1] == pytest.approx(mixture_epsilon(1e-5, group=5, **ask), rel=1e-3)
    after = run.minus(cu.requests.by_owner(run, [2]), run.params)
    assert worst_epsilon(after, 1e-5) == pytest.approx(mixture_epsilon(1e-5, group=25, **ask), rel=1e-3)
    assert "any owner" in str(noise_prices(after))


def test_a_saved_run_keeps_its_secret_batches(tmp_path):
    run = secret_run(states=2)
    cu.save(run, tmp_path / "run")
    again = cu.load(tmp_path / "run")
    assert batches_are_secret(again)
    updates = [cu.NoisyRetrain(rewind_to=3).forget(one, None, [4], KEY) for one in (run, again)]
    assert gap(updates[0].params, updates[1].params) == 0
    assert updates[0].guarantee.says.pairs == updates[1].guarantee.says.pairs
    fair = cu.NoisyRetrain(rewind_to=3).forget(again, None, [4], cu.secret_key())
    assert cu.certify(fair, cu.Budget(epsilon=9.0, delta=1e-5)).certificate.verdict == "PROVED"


def test_secret_batches_are_refused_where_they_would_hide_nothing_and_models_can_still_be_judged():
    with pytest.raises(cu.BadInput, match="beside noise"):
        cu.Recipe(batches="secret")
    run = secret_run()
    with pytest.raises(cu.BadInput, match="leave noise or shards out"):
        cu.train(run.problem, run.recipe, KEY, shards=2)
    assert len(relearnt(run, run.params, classes(8, seed=1), KEY, 1)) == 2


def test_the_command_line_trains_on_secret_batches_and_forgets_at_a_price(tmp_path, capsys):
    words = ("epochs=4", "hidden=(8,)", "batch_size=35", "clip_each=1.0", "noise=4.0", "batches=secret")
    certunl("train", tmp_path / "run", "--dataset", "wine", "--model", "mlp", "--set", *words, "--states", "4")
    capsys.readouterr()
    certunl("plan", tmp_path / "run")
    assert "epsilon, any example" in capsys.readouterr().out
    ask = ("--method", "noisy_retrain", "--epsilon", "9")
    certunl("forget", tmp_path / "run", "--request", "ids:3,5", *ask)
    printed = capsys.readouterr().out
    assert "PROVED" in printed and "secret Poisson batches" in printed
    certunl("forget", tmp_path / "run", "--request", "ids:7", *ask, "--set", "rewind_to=10", "--name", "again")
    assert "share of training 0.5" in capsys.readouterr().out
    plain = ("--dataset", "wine", "--model", "mlp", "--set", "batches=secret")
    assert "beside noise" in refused(capsys, "train", tmp_path / "other", *plain)


def test_releases_whose_requests_did_not_know_of_each_other_pay_for_known_batches_too():
    run, budget = secret_run(noise_key=None), cu.Budget(epsilon=50.0, delta=1e-3)
    first = cu.NoisyRetrain().forget(run, None, [3], KEY)
    account = cu.certify(first, budget).certificate.account
    for of in (run.minus([3], first), run):  # the second one still counts the first request's example
        after = cu.certify(cu.NoisyRetrain().forget(of, None, [7], KEY), budget, account=account).certificate.account
        known = read_epsilon(1 / sum(part.ratio for part in after.common), 0.1) if of is run else 0.0
        pairs = [epsilon for epsilon, _ in after.pairs][of is not run :]  # the last one covers both
        assert after.epsilon(2e-3 + 0.1 * (of is run)) == pytest.approx(sum(pairs) + known)
