"""Saved runs and releases that are damaged, edited, foreign or of another kind are refused."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import optax
import pytest

import certunl as cu
from certunl.folders.json_files import write_json
from tests.cases import KEY, classes, network, ridge, trained

IDS = [1, 4]


@pytest.fixture(scope="module")
def run():
    return trained(network(l2=0.01), weight_decay=0.05, radius=3.0)


@pytest.fixture(scope="module")
def release(run):
    return cu.certify(cu.HessianFree().forget(run, None, IDS, KEY), cu.Budget(epsilon=1.0, delta=1e-5), trivial=True)


def test_other_things_are_no_run_and_no_release(run, tmp_path):
    update = cu.FineTune().forget(run, None, IDS, KEY)
    with pytest.raises(cu.BadInput, match="got Update; certify it first"):
        cu.save(update, tmp_path / "x")
    with pytest.raises(cu.BadInput, match="got dict"):
        cu.save({}, tmp_path / "x")
    with pytest.raises(cu.BadInput, match="holds nothing that save wrote"):
        cu.load(tmp_path / "x")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda facts: facts | {"format": 99}, "has format 99, and this version reads 1"),
        (lambda facts: facts | {"x64": False}, "JAX_ENABLE_X64=0"),
        (lambda facts: facts | {"digest": "0"}, "are not those that were saved"),
        (lambda facts: {"format": 1}, "has no 'x64'; it is half-written or damaged"),
    ],
)
def test_a_damaged_folder_is_refused(run, tmp_path, damage, sentence):
    cu.save(run, tmp_path / "run")
    facts = json.loads((tmp_path / "run/saved.json").read_text())
    write_json(tmp_path / "run/saved.json", damage(facts))
    with pytest.raises(cu.BadInput, match=sentence):
        cu.load(tmp_path / "run")


def test_a_folder_cut_short_is_refused(run, tmp_path):
    cu.save(run, tmp_path / "run")
    (tmp_path / "run/saved.json").write_text("{")
    with pytest.raises(cu.BadInput, match="cannot be read"):
        cu.load(tmp_path / "run")


def test_what_was_unchecked_stays_so_whatever_problem_is_given(tmp_path):
    data = classes()
    scaled = replace(data, unchecked=("scaled on the rows",))
    linear = cu.models.Linear(classes=3, dtype=jnp.float64)
    cu.save(trained(cu.classification(linear, scaled)), tmp_path / "run", data=False)
    loaded = cu.load(tmp_path / "run", problem=cu.classification(linear, data))
    assert "scaled on the rows" in loaded.unchecked


@pytest.mark.parametrize(
    "change", [{"unchecked": []}, {"recipe": None}, {"provenance": {"origin": "", "seal": "0" * 64}}]
)
def test_an_edited_fact_is_noticed(run, tmp_path, change):
    cu.save(run, tmp_path / "run")
    path = tmp_path / "run" / "saved.json"
    facts = json.loads(path.read_text())
    if "recipe" in change:
        change = {"recipe": facts["recipe"] | {"weight_decay": 0.77}}
    if "unchecked" in change:
        change = {"unchecked": ["nothing"]}
    path.write_text(json.dumps(facts | change))
    with pytest.raises(cu.BadInput, match="are not those that were saved"):
        cu.load(tmp_path / "run")


def test_a_run_of_another_foreign_loss_or_other_frozen_parameters_is_refused(tmp_path):
    problem = ridge()
    losses = problem.losses
    foreign = replace(problem, losses=lambda params, batch: losses(params, batch) + 1.0)
    cu.save(trained(foreign), tmp_path / "foreign")
    other = replace(problem, losses=lambda params, batch: 5 * losses(params, batch))
    with pytest.raises(cu.BadInput, match=r"batch 1 of .* has the loss .* by this problem and recipe, but had"):
        cu.load(tmp_path / "foreign", problem=other)
    assert len(cu.load(tmp_path / "foreign", problem=foreign).losses) == 9
    momentum = cu.Recipe(optimizer=optax.sgd(1.0, momentum=0.9), epochs=2, batch_size=8)
    cu.save(cu.train(problem, momentum, KEY), tmp_path / "momentum")
    cu.load(tmp_path / "momentum", problem=problem, recipe=momentum)
    with pytest.raises(cu.BadInput, match=r"batch [2-8] of .* give the same model, losses, optimizer"):
        cu.load(tmp_path / "momentum", problem=problem, recipe=replace(momentum, optimizer=optax.scale(1.0)))
    whole = network()
    frozen = [cu.freeze(whole, whole.init(jax.random.key(seed)), trainable="Dense_1") for seed in (0, 1)]
    cu.save(trained(frozen[0]), tmp_path / "frozen")
    cu.load(tmp_path / "frozen", problem=frozen[0])
    with pytest.raises(cu.BadInput, match="has the loss"):
        cu.load(tmp_path / "frozen", problem=frozen[1])
