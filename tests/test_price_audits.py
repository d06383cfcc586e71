"""The price of doing nothing after training with noise, held against audits of networks: half the noise is caught."""

from dataclasses import dataclass, replace
from functools import cache, partial

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.audits.one_run import one_run_lower_bound
from certunl.bounds.theorems.noisy_training import prices
from certunl.certificates.gaussian import read_epsilon
from certunl.certificates.secret import spent
from certunl.training.loop import begin
from certunl.training.noisy import noisy_steps
from tests.cases import KEY, classes, gap, vector
from tests.verbs import certunl, refused

DELTA = 1e-5


@dataclass(frozen=True)
class Claiming:
    """Doing nothing, of which is claimed that its training had `noise`."""

    noise: float

    def prepare(self, run, *, progress=None):
        return None

    def forget(self, run, prepared, request, key):
        return cu.NoisyRetrain().forget(said(run, self.noise), None, request, key)


def said(run, noise):
    return replace(run, recipe=replace(run.recipe, noise=noise))


def budget(run, unit):
    """What doing nothing claims of one example of `run`."""
    return cu.Budget(epsilon=read_epsilon(1 / prices(run, alone=True)[unit], DELTA), delta=DELTA)


def wide(data, more, value, label):
    """The data with `more` inputs that are 0, and as many examples with nothing but an input of their own."""
    n, d = data.x.shape
    x = np.concatenate([data.x, np.zeros((n, more))], axis=1).astype(np.float32)
    own = np.concatenate([np.zeros((more, d)), value * np.eye(more)], axis=1).astype(np.float32)
    return cu.Dataset(x, data.y), cu.Dataset(own, np.full(more, label))


@cache
def outlier(noise):
    """A run on all the data in every step, with an example that has an input of its own and that the start refuses."""
    data, own = wide(classes(30), 1, value=20.0, label=1)
    both = cu.Dataset(np.concatenate([data.x, own.x]), np.concatenate([data.y, own.y]))
    problem = cu.classification(cu.models.MLP(hidden=(8,), classes=3), both)
    recipe = cu.Recipe(learning_rate=1.0, epochs=9, batch_size=31, clip_each=0.2, noise=noise)
    return cu.train(problem, recipe, KEY, noise_key=KEY)


def end(run, schedule, key):
    """The parameters that `fit` gives, without its checks."""
    state = begin(run.problem, run.recipe, run.start)
    return noisy_steps(run.problem, run.recipe, state, schedule, spent(key), 0, len(schedule))[0][0]


def by_many_runs(noise, claimed, runs=200):
    run = outlier(noise)
    update = Claiming(claimed).forget(run, None, [30], KEY)
    return seen(run, cu.certify(update, budget(said(run, claimed), 30)).certificate, difference(run), runs)


def difference(run):
    """The direction of the difference that the outlier makes to the attacker's own models, with little noise."""
    quiet, schedules = said(run, run.recipe.noise / 1000), (run.schedule, run.schedule.without([30]))
    pair = [vector(end(quiet, schedule, KEY)) for schedule in schedules]
    return (pair[0] - pair[1]) / np.linalg.norm(pair[0] - pair[1])


def seen(run, certificate, along, runs=200):
    """An audit of a certificate by networks with and without the outlier, as the attacker sees them along `along`."""
    both = (partial(end, run, schedule) for schedule in (run.schedule, run.schedule.without([30])))
    key, statistic = jax.random.key(1), lambda params: float(vector(params) @ along)
    return cu.audit_runs(*both, certificate, runs=runs, key=key, statistic=statistic)


def test_many_runs_of_a_network_do_not_refute_the_price_and_with_half_the_noise_they_do():
    run = outlier(2.0)
    for schedule in (run.schedule, run.schedule.without([30])):
        fitted = cu.fit(run.problem, run.recipe, run.start, schedule, noise_key=jax.random.key(2)).params
        assert gap(end(run, schedule, jax.random.key(2)), fitted) == 0
    fair, half = by_many_runs(2.0, 2.0), by_many_runs(1.0, 2.0)
    assert fair.epsilon == half.epsilon
    assert not fair.refuted and fair.lower > fair.epsilon / 4
    assert half.refuted


def test_whoever_sees_the_extractor_refutes_a_head_that_does_not_count_it():
    run = outlier(2.0)
    data = cu.Features.of(run)(run.problem.data)
    recipe = cu.Recipe(weight_decay=0.05, learning_rate=0.5, batch_size=31)
    head = cu.train(cu.classification(cu.models.Linear(classes=3, bound=1.0), data), recipe, KEY)
    update = cu.CertifiedRemoval(tolerance=1e-4).forget(head, None, [30], KEY)
    alone = replace(update, guarantee=replace(update.guarantee, common=None))
    fair = cu.certify(update, cu.Budget(epsilon=8.0, delta=DELTA)).certificate
    blind = cu.certify(alone, cu.Budget(sigma=fair.sigma, delta=DELTA)).certificate
    along = difference(run)
    assert fair.epsilon > 3 * blind.epsilon
    assert not seen(run, fair, along).refuted and seen(run, blind, along).refuted


def by_canaries(noise, method, many):
    """An audit with canaries that have an input of their own each. The budget is that of four slots at noise 2.8."""
    data, canaries = wide(classes(60), many, value=100.0, label=1)
    problem = cu.classification(cu.models.MLP(hidden=(4,), classes=3), data)
    recipe = cu.Recipe(learning_rate=1.0, epochs=4, batch_size=many + 60, clip_each=0.1, noise=noise)
    allowed = cu.Budget(epsilon=1.01 * read_epsilon(2.8 / 2, DELTA), delta=DELTA)  # with some rounding
    run = cu.fit(problem, recipe, problem.init(KEY), cu.Schedule([[0]], [[1.0]], [1.0]), noise_key=KEY)
    return cu.audit_canaries(run, method, allowed, canaries, KEY, mislabelled=0.0, alone=True)


def test_canaries_alone_do_not_refute_the_price_and_with_half_the_noise_they_do():
    fair, half = by_canaries(2.8, cu.NoisyRetrain(), 3000), by_canaries(1.4, Claiming(2.8), 3000)
    assert fair.guesses == 300 and fair.epsilon == half.epsilon and "each of them alone" in fair.how
    assert not fair.refuted and fair.lower > fair.epsilon / 4
    assert half.refuted
    form = {"group": False, "gaussian": True, "canaries": 3000}
    assert half.lower == one_run_lower_bound(half.correct, 300, DELTA, **form)


def test_canaries_alone_are_for_what_is_released_as_it_is():
    fair = by_canaries(2.8, cu.NoisyRetrain(), 40)
    assert fair == by_canaries(2.8, cu.NoisyRetrain(), 40)
    with pytest.raises(cu.BadInput, match="releases the trained model as it is"):
        by_canaries(2.8, cu.NoisyRetrain(rewind_to=0), 40)
    refused = by_canaries(1.4, cu.NoisyRetrain(), 40)
    assert refused.lower == 0 and "request of 1 canaries was refused" in refused.how


def test_the_command_line_audits_what_is_claimed_of_each_alone(tmp_path, capsys):
    noise = ("epochs=2", "batch_size=71", "clip_each=1.0", "noise=4.0")
    certunl("train", tmp_path / "run", "--dataset", "wine", "--model", "mlp", "--set", *noise)
    capsys.readouterr()
    certunl("audit", tmp_path / "run", "--method", "noisy_retrain", "--epsilon", "9", "--alone", "--canaries", "20")
    assert "in, each of them alone" in capsys.readouterr().out
    fresh = ("--method", "noisy_retrain", "--set", "rewind_to=0", "--epsilon", "9", "--canaries", "20")
    assert "leave alone out" in refused(capsys, "audit", tmp_path / "run", *fresh, "--alone")
