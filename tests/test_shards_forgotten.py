"""Forgetting from models on shards: few of them are trained again."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.folders import RunFolder
from certunl.planning import Replays, replays
from certunl.training.drawing import draw
from certunl.training.sharding import holding
from tests.cases import KEY, classes, gap, network
from tests.shards import SETTINGS, model, run_of, shards_of
from tests.verbs import certunl, refused


def test_retraining_replays_the_shards_of_the_request_and_no_others():
    run = run_of()
    parts = shards_of(run)
    request = [int(parts[0][0]), int(parts[2][1])]
    update = cu.Retrain().forget(run, None, request, KEY)
    assert update.cost["shards"] == 2 and update.cost["share_of_training"] == pytest.approx(2 / 3)
    assert gap(update.params, model(cu.retrainings(run, [request]), 0)) < 1e-12
    assert gap(model(update.params, 1), model(run.params, 1)) == 0
    assert min(gap(model(update.params, s), model(run.params, s)) for s in (0, 2)) > 1e-6
    release = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5), cu.secret_key())
    assert release.certificate.verdict == "PROVED" and gap(release.params, update.params) == 0


def test_a_second_request_costs_its_own_shards_where_the_first_was_replayed_and_all_of_them_otherwise():
    run = run_of()
    parts = shards_of(run)
    first, second = [int(parts[0][0])], [int(parts[1][0])]
    update = cu.Retrain().forget(run, None, first, KEY)
    truth = model(cu.retrainings(run, [first + second]), 0)
    known, unknown = run.minus(first, update), run.minus(first, update.params)
    moved = run.minus(first, jax.tree.map(lambda leaf: leaf + 1.0, update.params))
    doubtful = replace(update.guarantee, unchecked=("who knows",))
    conditional = run.minus(first, update.replace(guarantee=doubtful))
    others = (moved, replace(known, params=moved.params), conditional)
    for after, shards in ((known, 1), (unknown, 3), *((one, 3) for one in others)):
        again = cu.Retrain().forget(after, None, second, KEY)
        assert again.cost["shards"] == shards
        assert gap(again.params, truth) < 1e-12


def test_shards_go_on_from_no_parameters_of_another_training():
    run = run_of()
    request = [int(shards_of(run)[0][0])]
    data = run.problem.data
    swapped = replace(data, x=data.x[np.r_[1, 0, 2:30]])
    others = (
        replace(run, problem=replace(run.problem, data=swapped)),
        replace(run, recipe=replace(run.recipe, weight_decay=0.5)),
        replace(run, problem=replace(run.problem, randomness=3)),
        replace(run, provenance=cu.fit(run.problem, run.recipe, run.start, run.schedule).provenance, params=run.start),
    )
    assert run.known_end
    for other in others:
        assert not other.known_end and cu.Retrain().forget(other, None, request, KEY).cost["shards"] == 3


def test_a_model_has_the_same_bits_whichever_others_are_trained_with_it():
    with jax.enable_x64(False):
        data = cu.Dataset(np.random.default_rng(0).normal(size=(60, 9)).astype(np.float32), np.arange(60) % 3)
        run = run_of(cu.classification(cu.models.MLP(hidden=(17,), classes=3), data), shards=5)
        parts = shards_of(run)
        one = cu.Retrain().forget(run, None, [int(parts[0][0])], KEY)
        three = cu.Retrain().forget(run, None, [int(parts[i][0]) for i in (0, 2, 4)], KEY)
        every = cu.Retrain().forget(unknown(run), None, [int(parts[0][0])], KEY)
    assert gap(model(one.params, 0), model(three.params, 0)) == 0 and every.cost["shards"] == 5
    assert gap(one.params, every.params) == 0


def unknown(run):
    """The same run, of which nobody knows that its parameters are the end of the training."""
    return replace(run, provenance=replace(run.provenance, end=""))


def test_a_replay_of_shards_goes_on_from_its_checkpoints(tmp_path):
    run = run_of(epochs=20)
    request = [int(shards_of(run)[1][0])]
    exact = cu.Retrain().forget(run, None, request, KEY)
    update = cu.Retrain(checkpoints=cu.Checkpoints(tmp_path / "kept")).forget(run, None, request, KEY)
    assert gap(update.params, exact.params) < 1e-12 and update.cost["shards"] == 1


def test_an_example_that_training_never_visits_costs_nothing():
    schedule = draw(KEY, cu.Recipe(**SETTINGS), 30, shards=3)
    assert holding(schedule, 3, np.zeros(30, bool)).tolist() == []
    run = run_of()
    seen = run.schedule.without([4])
    without = cu.fit(run.problem, run.recipe, run.start, seen)
    update = cu.Retrain().forget(without, None, [4], KEY)
    assert update.cost["shards"] == 0 and gap(update.params, without.params) == 0


def test_the_expected_share_of_a_training_is_that_of_many_requests():
    run = run_of(network(owners=np.repeat(np.arange(10), 3)), shards=3)
    plan = replays(run)
    assert plan.sizes == (4, 3, 3) and plan.owners
    shard = np.repeat(np.arange(3), plan.sizes)
    rng = np.random.default_rng(0)
    for k in (1, 2, 5):
        seen = [len(set(shard[rng.choice(10, k, replace=False)])) for _ in range(4000)]
        assert abs(plan.shards(k) - np.mean(seen)) < 5 * np.std(seen) / 4000**0.5 + 1e-12
    assert plan.shards(1) == pytest.approx(1) and plan.shards(8) == 3 and plan.share(10) == 1
    equal = Replays(sizes=(12000,) * 5, seconds=(1.0, 5.0), owners=False)
    assert equal.share(10) == pytest.approx(1 - 0.8**10, abs=1e-4) and equal.seconds_for(1) == pytest.approx(1)
    assert "from a request for 11 on" in str(equal)


@pytest.mark.parametrize("name", cu.registry.names("methods"))
def test_other_methods_say_that_they_work_on_one_model(name):
    method = cu.registry.build("methods", name)
    if name in ("retrain", "noisy_retrain"):  # the other has its own test
        return
    run = run_of()
    with pytest.raises(cu.BadInput, match=r"one model|closed form|no such model"):
        method.forget(run, None, [1], cu.secret_key() if method.own_noise else KEY)


def test_saved_runs_keep_their_shards(tmp_path):
    run = run_of(cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), classes(30)))
    cu.save(run, tmp_path / "run")
    again = cu.load(tmp_path / "run")
    assert again.problem.shards == 3 and again.known_end and not again.unchecked
    request = [int(shards_of(run)[0][0])]
    updates = [cu.Retrain().forget(one, None, request, KEY) for one in (run, again)]
    assert gap(updates[1].params, updates[0].params) == 0 and updates[1].cost["shards"] == 1


def test_a_folder_replays_the_shards_of_each_request(tmp_path, capsys):
    words = ("--dataset", "wine", "--model", "mlp", "--set", "epochs=4", "hidden=(8,)", "batch_size=8", "shards=4")
    certunl("train", tmp_path / "run", *words)
    run = RunFolder(tmp_path / "run").run
    assert run.problem.shards == 4
    capsys.readouterr()
    certunl("plan", tmp_path / "run")
    assert "4 shards of 35 to 36 examples" in capsys.readouterr().out
    for number, request in enumerate(("ids:3", "ids:77,5"), 1):
        capsys.readouterr()
        certunl("forget", tmp_path / "run", "--request", request, "--method", "retrain", "--epsilon", "1")
        said = capsys.readouterr().out
        assert f"shards {number if number == 1 else len(shards_holding(run, [77, 5]))}" in said and "PROVED" in said
    certunl("verify", tmp_path / "run" / "releases" / "retrain-2")
    line = RunFolder(tmp_path / "run").line("retrain", "retrain", {})
    exact = model(cu.retrainings(run, [[3, 5, 77]]), 0)
    assert gap(line.run.params, exact) < 1e-6
    assert "one model" in refused(
        capsys, "forget", tmp_path / "run", "--request", "ids:9", "--method", "newton", "--epsilon", "1"
    )


def shards_holding(run, ids):
    return holding(run.schedule, run.problem.shards, np.isin(np.arange(len(run.present)), ids))
