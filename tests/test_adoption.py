"""A run without a history: every method, attack, audit and table works with it, or says in one sentence why not."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl import registry
from certunl.bounds import theorems
from certunl.rows.staleness import measure_staleness
from certunl.training.risk import Risk
from tests.cases import KEY, classes, network, trained, vector
from tests.verdicts import PROBLEMS, RADIUS, of_every_method

IDS = [3, 8, 21]
RECIPE = cu.Recipe(learning_rate=0.1, epochs=3, batch_size=8, weight_decay=0.05)
HISTORY = {"hessian_free", "rewind_to_delete", "retrain", "noisy_retrain", "noisy_sgd"}  # noisy_sgd without a ball
CONVEX = ("certified_removal", "perturbed_removal")
SETTINGS = {name: {"damping": 1.0, "operator": "ggn"} for name in ("newton_step", "jackknife")}


def linear():
    return cu.classification(cu.models.Linear(classes=3, dtype=jnp.float64), classes())


@pytest.fixture(scope="module")
def run():
    return cu.adopt(network(), trained(network(), weight_decay=0.05).params, recipe=RECIPE, origin="by hand")


@pytest.fixture(scope="module")
def convex():
    return cu.adopt(linear(), trained(linear(), weight_decay=0.05).params, recipe=RECIPE)


@pytest.mark.parametrize("name", registry.names("methods"))
def test_a_method_works_or_says_in_one_sentence_that_it_needs_a_history(name, run, convex):
    run = convex if name in CONVEX else run
    method = registry.build("methods", name, **SETTINGS.get(name, {}))
    key = cu.secret_key() if method.own_noise else KEY
    if name in HISTORY:
        with pytest.raises(cu.BadInput, match=r"^[^\n]*adopted without the steps of its training[^\n]*$"):
            method.forget(run, None, IDS, key)
        return
    prepared = method.prepare(run)
    update = method.forget(run, prepared, IDS, key)
    assert any("adopted" in words for words in update.unchecked)
    assert "replayed" not in update.guarantee.reference
    assert np.isfinite(vector(update.params)).all() and (vector(update.params) != vector(run.params)).any()
    again = run.minus(IDS, update.params)
    assert not again.history and any("adopted" in words for words in again.unchecked)


@pytest.mark.parametrize("name", ["hessian_free", "rewind_to_delete"])
def test_preparing_for_a_replay_is_refused_too(name, run):
    with pytest.raises(cu.BadInput, match="adopted without the steps"):
        registry.build("methods", name).prepare(run)


DOORS = {
    "rows on disk": lambda run, place: cu.HessianFree().store(run, place / "rows"),
    "the last noisy steps": lambda run, place: cu.NoisySGD(start="trained").prepare(run),
    "attribution": lambda run, place: cu.attribute(run, run.params),
    "loss changes": lambda run, place: cu.loss_changes(run, classes(seed=1)),
    "influential examples": lambda run, place: cu.requests.influential(run, 2),
    "retrainings": lambda run, place: cu.retrainings(run, [[1], [2]]),
    "leave one out": lambda run, place: cu.leave_one_out(run, cu.FineTune(), IDS, KEY),
    "a plan": lambda run, place: cu.plan(run),
    "staleness": lambda run, place: measure_staleness(run, cu.HessianFree(), None, KEY, size=2),
    "contractions": lambda run, place: cu.bounds.contraction.measured_contractions(run, KEY),
    "the theorem of rewinding": lambda run, place: theorems.rewind(
        run,
        IDS,
        steps=0,
        assumed=cu.HessianFreeConstants(gradient_bound=1.0, smoothness=1.0, hessian_lipschitz=1.0, convexity=0.0),
    ),
    "closed constants": lambda run, place: cu.bounds.linear.hessian_free_constants(
        cu.adopt(linear(), linear().init(KEY))
    ),
    "an evaluation": lambda run, place: cu.evaluate(run, IDS, cu.FineTune().forget(run, None, IDS, KEY)),
    "a comparison": lambda run, place: cu.compare(run, {"a": IDS}, KEY, test=classes(seed=1)),
}


@pytest.mark.parametrize("door", DOORS)
def test_what_follows_training_says_that_there_is_none(door, run, tmp_path):
    with pytest.raises(cu.BadInput, match=r"^[^\n]*adopted without[^\n]*$"):
        DOORS[door](run, tmp_path)


def test_a_stream_serves_requests_and_refuses_a_repair(run):
    budget = cu.Budget(epsilon=1.0, delta=1e-5)
    stream = cu.Stream(run=run, method=cu.Newton(operator="ggn"), prepared=None)
    release, after = stream.forget(IDS, budget, KEY)
    assert release.certificate.verdict == "NOT CERTIFIED" and not after.run.history
    with pytest.raises(cu.BadInput, match="no prepared rows"):
        stream.repair(KEY)


def test_canaries_are_audited_in_a_training_of_their_own(run):
    extra = classes(n=40, seed=3)
    audit = cu.audit_canaries(run, cu.FineTune(), cu.Budget(epsilon=1.0, delta=1e-5, sigma=0.1), extra, KEY)
    assert np.isinf(audit.epsilon) and audit.guesses


def test_the_risk_counts_every_example_and_the_minimiser_is_that_of_a_trained_run(convex):
    assert bool(Risk(convex).visited().all()) and int(Risk(convex).count(convex.present)) == 30
    other = trained(linear(), weight_decay=0.05)  # one epoch visits every example
    method = cu.CertifiedRemoval(tolerance=1e-9)
    ends = [vector(method.forget(one, None, IDS, KEY).params) for one in (convex, other)]
    np.testing.assert_allclose(*ends, atol=1e-7)
    update = method.forget(convex, None, IDS, KEY)
    assert update.bound is not None
    release = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5, distance=update.bound))
    assert release.certificate.verdict == "CONDITIONAL"  # it would be PROVED of a run that was trained here
    of_trained = cu.certify(method.forget(other, None, IDS, KEY), release.certificate.budget)
    assert of_trained.certificate.verdict == "PROVED"


def test_nothing_that_starts_from_adopted_parameters_is_proved():
    problem = PROBLEMS["bounded softmax"]()
    recipe = cu.Recipe(learning_rate=0.1, epochs=2, batch_size=24, weight_decay=0.3, radius=RADIUS)
    verdicts = of_every_method(cu.adopt(problem, cu.train(problem, recipe, KEY).params, recipe=recipe))
    assert len(verdicts) > 20 and "PROVED" not in verdicts.values() and "CONDITIONAL" in verdicts.values()


def test_steps_take_the_rate_of_the_recipe(run):
    assert run.rates == (0.1, 0.1)
    by_default = cu.FineTune().forget(run, None, IDS, KEY)
    by_name = cu.FineTune(learning_rate=0.1).forget(run, None, IDS, KEY)
    assert (vector(by_default.params) == vector(by_name.params)).all()


# training afresh


class Normed(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = False):
        return nn.Dense(3)(nn.BatchNorm(use_running_average=not train)(nn.Dense(5)(x)))


def wrong(**changed):
    params = jax.tree.map(np.asarray, network().init(KEY))
    params["Dense_0"] = {**params["Dense_0"], **changed}
    return params


WRONG = {
    "another shape": (wrong(bias=np.zeros(7)), r"Dense_0/bias must have the shape \[6\] of the model, got \[7\]"),
    "whole numbers": (wrong(bias=np.zeros(6, int)), "Dense_0/bias must hold real floating-point numbers, got int"),
    "complex numbers": (wrong(bias=np.zeros(6, complex)), "Dense_0/bias must hold real"),
    "no number": (wrong(bias=np.full(6, np.nan)), "Dense_0/bias holds NaN or infinity"),
    "a word": (wrong(bias="zero"), "Dense_0/bias must be an array of real numbers, got str"),
    "a leaf too many": (wrong(scale=np.zeros(6)), "have 'Dense_0/scale', which the model does not have"),
    "a layer too few": ({"Dense_0": wrong()["Dense_0"]}, "lack 'Dense_1/bias'"),
    "whole variables": ({"params": wrong()}, r"lack 'Dense_0/bias'.*give the parameters alone, variables\['params'\]"),
    "nothing": ({}, "lack 'Dense_0/bias', which the model has; there is none"),
}


@pytest.mark.parametrize("case", WRONG)
def test_parameters_that_do_not_fit_are_refused_by_the_name_of_the_leaf(case):
    params, sentence = WRONG[case]
    with pytest.raises(cu.BadInput, match=sentence):
        cu.adopt(network(), params)


def test_settings_of_another_kind_are_refused():
    problem = network()
    for arguments, settings, sentence in (
        ((problem.losses, {}), {}, "a Problem is needed"),
        ((problem, problem.init(KEY)), {"recipe": "sgd"}, "recipe must be a Recipe"),
        ((problem, problem.init(KEY)), {"origin": 3}, "origin says in words"),
    ):
        with pytest.raises(cu.BadInput, match=sentence):
            cu.adopt(*arguments, **settings)
    empty = cu.Schedule(np.zeros((0, 2), np.int32), np.zeros((0, 2)), np.zeros(0))
    with pytest.raises(cu.BadInput, match="no step; give at least one"):
        cu.fit(problem, RECIPE, problem.init(KEY), empty)


def test_statistics_of_batchnorm_are_sent_to_frozen():
    data = classes()
    variables = Normed().init(KEY, jnp.asarray(data.x[:1]))
    model = cu.models.Frozen(Normed(), variables["batch_stats"])
    with pytest.raises(cu.BadInput, match=r"batch_stats to models\.Frozen"):
        cu.adopt(cu.classification(model, data), variables)
    run = cu.adopt(cu.classification(model, data), variables["params"], origin="elsewhere")
    assert any("BatchNorm" in words for words in run.unchecked) and any("elsewhere" in words for words in run.unchecked)
