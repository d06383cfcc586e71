"""A saved run or release comes back bit for bit; what is damaged, foreign or of another kind is refused."""

import json
import os
import stat
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import certunl as cu
from tests.cases import KEY, classes, network, ridge, trained, vector

IDS = [1, 4]


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(x).dtype == np.asarray(y).dtype
        np.testing.assert_array_equal(x, y)


@pytest.fixture(scope="module")
def run():
    return trained(network(l2=0.01), weight_decay=0.05, radius=3.0)


@pytest.fixture(scope="module")
def release(run):
    return cu.certify(cu.HessianFree().forget(run, None, IDS, KEY), cu.Budget(epsilon=1.0, delta=1e-5), trivial=True)


def test_a_run_of_the_library_comes_back_alone_with_everything(run, tmp_path):
    later = run.minus(IDS, run.params)
    cu.save(later, tmp_path / "run")
    back = cu.load(tmp_path / "run")
    same(later, back)
    assert back.recipe == later.recipe and back.problem.losses == later.problem.losses
    assert back.unchecked == later.unchecked == () and back.losses.shape == (len(run.schedule),)
    ends = [vector(cu.HessianFree().forget(one, None, [9], KEY).params) for one in (later, back)]
    assert (ends[0] == ends[1]).all()


def test_a_saved_folder_is_for_its_owner_alone_and_is_never_replaced(run, tmp_path):
    place = tmp_path / "a" / "run"
    cu.save(run, place)
    assert stat.S_IMODE(os.stat(place).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(place / "saved.json").st_mode) == 0o600
    with pytest.raises(cu.BadInput, match="exists already"):
        cu.save(run, place)


def test_a_run_without_its_data_needs_the_problem_and_the_same_data(run, tmp_path):
    cu.save(run, tmp_path / "run", data=False)
    with pytest.raises(cu.BadInput, match=r"the training data were not saved.*problem="):
        cu.load(tmp_path / "run")
    same(run, cu.load(tmp_path / "run", problem=network(l2=0.01)))
    x = np.array(classes().x)
    x[0, 0] += 1
    other = cu.classification(network().losses.model, replace(classes(), x=x), l2=0.01)
    with pytest.raises(cu.BadInput, match="data of the problem are not those of the run"):
        cu.load(tmp_path / "run", problem=other)
    with pytest.raises(cu.BadInput, match="the model or the losses of the problem are not those"):
        cu.load(tmp_path / "run", problem=network(l2=0.02))


def test_functions_of_the_users_are_given_again(tmp_path):
    recipe = cu.Recipe(optimizer=optax.sgd(1.0), epochs=2, batch_size=8)
    run = cu.train(ridge(), recipe, KEY)
    cu.save(run, tmp_path / "run")
    with pytest.raises(cu.BadInput, match="the model and losses, which are not of this library, were not saved"):
        cu.load(tmp_path / "run")
    for wrong, sentence in (
        (None, "the optimizer of the run .* is an object"),
        (cu.Recipe(epochs=2, batch_size=8), "the optimizer of the run .* is an object"),
        (replace(recipe, weight_decay=0.1), "was trained by Recipe.*give the same recipe"),
    ):
        with pytest.raises(cu.BadInput, match=sentence):
            cu.load(tmp_path / "run", problem=ridge(), recipe=wrong)
    back = cu.load(tmp_path / "run", problem=ridge(), recipe=recipe)
    same(run, back)
    assert back.unchecked == run.unchecked != ()


def test_a_run_of_foreign_parts_is_not_made_proved_by_loading_it_with_own_ones(tmp_path):
    first = trained(network())
    cu.save(replace(first, problem=replace(first.problem, init=lambda key: first.start)), tmp_path / "init")
    assert cu.load(tmp_path / "init", problem=first.problem).unchecked == ()  # the seal holds for start and schedule
    losses = first.problem.losses
    foreign = replace(first.problem, losses=lambda params, batch: losses(params, batch))
    cu.save(replace(first, problem=foreign), tmp_path / "losses")
    with pytest.raises(cu.BadInput, match="the model or the losses of the problem"):
        cu.load(tmp_path / "losses", problem=first.problem)


def test_an_adopted_run_comes_back_without_a_history(run, tmp_path):
    adopted = cu.adopt(run.problem, run.params, recipe=run.recipe, origin="elsewhere")
    cu.save(adopted, tmp_path / "run")
    back = cu.load(tmp_path / "run")
    same(adopted, back)
    assert not back.history and back.unchecked == adopted.unchecked and back.losses is None


@pytest.mark.parametrize("model", ["linear", "mlp", "cnn", "lenet5", "allcnn", "resnet18"])
def test_every_model_of_the_library_is_built_again(model):
    from certunl.folders._describing import described, rebuilt  # the settings alone, without training

    built = cu.registry.build("models", model, classes=3, dtype=jnp.float64)
    data = cu.Dataset(np.zeros((3, 4) if model in ("linear", "mlp") else (3, 32, 32, 3)), np.arange(3))
    problem = cu.classification(built, data, l2=0.1)
    facts = json.loads(json.dumps(described(problem)))
    assert rebuilt(facts, data).losses == problem.losses and rebuilt(facts, data).init == problem.init


def test_a_release_comes_back_whole(run, release, tmp_path):
    cu.save(release, tmp_path / "release")
    back = cu.load(tmp_path / "release")
    same(release, back)
    assert back.certificate == release.certificate and back.update.guarantee == release.update.guarantee
    assert str(back.certificate) == str(release.certificate)
    assert cu.evaluate(run, IDS, back).rows.keys() == cu.evaluate(run, IDS, release).rows.keys()
    with pytest.raises(cu.BadInput, match="needs neither problem nor recipe"):
        cu.load(tmp_path / "release", problem=run.problem)


def test_an_export_holds_the_noised_parameters_and_the_public_statement_alone(run, release, tmp_path):
    from safetensors import safe_open

    place = tmp_path / "model.safetensors"
    cu.save(release, place)
    with safe_open(place, "numpy") as file:
        facts = json.loads(file.metadata()["certunl"])
        assert sorted(file.keys()) == ["Dense_0/bias", "Dense_0/kernel", "Dense_1/bias", "Dense_1/kernel"]
    assert facts["verdict"] == release.certificate.verdict and facts["epsilon"] == 1.0
    assert not {"guarantee", "update", "account", "bound"} & set(facts)
    back = cu.read_params(place, like=run.params)
    same(jax.tree.map(np.asarray, release.params), back)
    assert (vector(back) != vector(release.update.params)).all()
    assert not cu.adopt(run.problem, back).history


def test_a_model_without_noise_is_not_exported_but_a_retrained_one_is(run, tmp_path):
    budget = cu.Budget(epsilon=1.0, delta=1e-5)
    bare = cu.certify(cu.FineTune().forget(run, None, IDS, KEY), budget)
    with pytest.raises(cu.BadInput, match="carries no noise"):
        cu.save(bare, tmp_path / "bare.safetensors")
    with pytest.raises(cu.BadInput, match="only a Release is exported"):
        cu.save(run, tmp_path / "run.safetensors")
    retrained = cu.certify(cu.Retrain().forget(run, None, IDS, KEY), budget)
    cu.save(retrained, tmp_path / "retrained.safetensors")
    assert (vector(cu.read_params(tmp_path / "retrained.safetensors")) == vector(retrained.params)).all()


def test_the_run_folder_of_the_command_line_is_loaded_too(folder):
    assert cu.load(folder).history
