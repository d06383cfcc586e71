"""Runs in slices on disk and in the plan: their states are saved, sealed, handed on from request to request, purged."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.folders import RunFolder
from certunl.membership.relearning import relearn_epochs
from certunl.planning import Replays, replays, shard_work
from certunl.training import chunks, replaying
from tests.cases import KEY, classes, gap, network
from tests.test_slices import OWNERS, retrained, sliced, whole
from tests.verbs import certunl, refused

WORDS = ("--dataset", "wine", "--model", "mlp", "--set", "epochs=8", "hidden=(8,)", "batch_size=8", "slices=3")


def certain(i):
    """A request of one example to a line that retrains."""
    return "--request", f"ids:{i}", "--method", "retrain", "--epsilon", "1"


@pytest.mark.parametrize("owners", [None, OWNERS], ids=["examples", "owners"])
@pytest.mark.parametrize("shards", [1, 3])
def test_the_plan_expects_what_requests_cost(shards, owners):
    run = sliced(network(owners=owners), shards)
    plan, units = replays(run), np.arange(30) if owners is None else owners
    every = np.unique(units)
    costs = [retrained(run, np.flatnonzero(units == i)).cost["share_of_training"] for i in every]
    assert plan.share(1) == pytest.approx(np.mean(costs)) and plan.shards(1) == pytest.approx(1)
    assert plan.owners == (owners is not None) and sum(plan.sizes) == len(every)
    if shards == 1 and owners is not None:
        pairs = [np.flatnonzero(np.isin(units, pair)) for pair in itertools.combinations(every, 2)]
        two = [retrained(run, pair).cost["share_of_training"] for pair in pairs]
        assert plan.share(2) == pytest.approx(np.mean(two))
    one = int(np.flatnonzero(units == every[0])[0])
    request = np.flatnonzero(units == units[one])
    assert sum(replays(run.minus(request, retrained(run, request))).sizes) == len(every) - 1


@pytest.mark.parametrize("owners", [None, OWNERS], ids=["examples", "owners"])
@pytest.mark.parametrize("shards", [1, 3])
def test_the_plan_after_parameters_from_elsewhere_is_what_requests_cost(shards, owners):
    run = sliced(network(owners=owners), shards)
    units = np.arange(30) if owners is None else owners
    gone = np.flatnonzero(units == 4)
    for given in (retrained(run, gone).params, retrained(run, gone)):
        after = run.minus(gone, given)
        rest = [i for i in np.unique(units) if i != 4]
        costs = [retrained(after, np.flatnonzero(units == i)).cost["share_of_training"] for i in rest]
        assert replays(after).share(1) == pytest.approx(np.mean(costs))


def test_the_plan_of_shards_that_are_trained_together(monkeypatch):
    for room in (chunks, replaying, shard_work):
        monkeypatch.setattr(room, "platform", lambda: "gpu")
    run = sliced(shards=3)
    rng = np.random.default_rng(0)
    for k in (1, 2, 4):
        requests = [rng.choice(30, k, replace=False) for _ in range(120)]
        costs = [retrained(run, request).cost["share_of_training"] for request in requests]
        assert abs(replays(run).share(k) - np.mean(costs)) < 4 * np.std(costs) / 120**0.5


def test_the_expected_share_of_equal_slices_is_that_of_the_formula():
    for slices in (2, 5, 9):
        steps = [2 * j / (slices * (slices + 1)) for j in range(1, slices + 1)]
        stages = tuple((share, (100 * (j + 1),)) for j, share in enumerate(steps))
        plan = Replays(sizes=(100 * slices,), seconds=(1.0, 1.0), owners=False, stages=stages)
        assert plan.share(1) == pytest.approx((2 * slices + 1) / (3 * slices))
        assert plan.seconds_for(1) == pytest.approx(plan.share(1)) and f"{slices - 1} states" in str(plan)


def test_wrong_slices_are_refused():
    problem, short = network(), {"epochs": 6, "batch_size": 4}
    cases = [
        (lambda: cu.Recipe(slices=10), "slices must be a whole number from 1 to 9"),
        (lambda: cu.Recipe(slices=0), "slices must be a whole number"),
        (lambda: cu.Recipe(slices=5, epochs=2), "5 slices need at least 3 epochs"),
        (lambda: cu.Recipe(slices=2, epochs=2, clip_each=1.0, noise=1.0), "slices are for exact retraining"),
        (lambda: sliced(slices=7, batch_size=20), "7 slices need at least 56 steps of training, and there are 12"),
        (lambda: sliced(shards=6, slices=6, batch_size=1), "6 slices of 6 shards need at least 36"),
        (lambda: sliced(network(owners=OWNERS), batches="fixed"), 'cannot be "fixed"'),
        (lambda: cu.train(problem, cu.Recipe(**short), KEY, states=0), "states must be a whole number"),
        (lambda: cu.train(problem, cu.Recipe(**short), KEY, states=49), "from 1 to 48"),
        (lambda: cu.train(problem, cu.Recipe(**short), KEY, noise_key=KEY), "noise_key is for a recipe with noise"),
    ]
    for call, sentence in cases:
        with pytest.raises(cu.BadInput, match=sentence):
            call()


@pytest.mark.parametrize("shards", [1, 3])
def test_saved_runs_keep_their_states(tmp_path, shards):
    data = classes(30)
    run = sliced(cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), data), shards)
    after = run.minus([4], retrained(run, [4]))
    for name, one in (("new", run), ("later", after)):
        cu.save(one, tmp_path / name)
        again = cu.load(tmp_path / name)
        assert again.known_states is not None and not again.unchecked
        updates = [retrained(which, [9]) for which in (one, again)]
        assert gap(updates[1].params, updates[0].params) == 0
        assert updates[1].cost["share_of_training"] == updates[0].cost["share_of_training"] < 1.1 / shards


def test_a_folder_goes_back_to_the_last_stage_for_each_request(tmp_path, capsys):
    place = tmp_path / "run"
    certunl("train", place, *WORDS)
    capsys.readouterr()
    certunl("plan", place)
    said = capsys.readouterr().out
    assert "2 states" in said and "rows of 142" in said  # rows work on one model in slices as well
    folder = RunFolder(place)
    order = [one for one in range(20) if share_of(folder.run, one) < 1][:3]
    for number, i in enumerate(order, 1):
        capsys.readouterr()
        certunl("forget", place, *certain(i))
        said = capsys.readouterr().out
        assert "PROVED" in said and "share of training 0." in said
        run = RunFolder(place).line("retrain", "retrain", {}).run
        assert run.known_states is not None and number == int(np.sum(~run.states.present))
        exact = cu.Retrain().forget(whole(folder.run), None, order[:number], KEY).params
        assert gap(run.params, exact) == 0
    certunl("ledger", place, "--verify")
    certunl("purge", place)
    assert [p.name for p in (place / "updates").iterdir()] == ["retrain-3"]
    assert RunFolder(place).line("retrain", "retrain", {}).run.known_states is not None
    certunl("purge", place, "--model")
    capsys.readouterr()
    certunl("forget", place, *certain(25))
    assert "PROVED" in capsys.readouterr().out


def share_of(run, one):
    return retrained(run, [one]).cost["share_of_training"]


def test_damaged_states_of_a_folder_are_noticed(tmp_path, capsys):
    place = tmp_path / "run"
    certunl("train", place, *WORDS, "shards=2")
    certunl("forget", place, *certain(3))
    states = place / "updates" / "retrain-1" / "states"
    assert states.stat().st_mode & 0o077 == 0
    victim = max((p for p in states.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = victim.read_bytes()
    victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "retrain-1" in refused(capsys, "forget", place, *certain(4))
    with pytest.raises(SystemExit):
        certunl("ledger", place, "--verify")
    assert "retrain-1" in capsys.readouterr().out
    victim.write_bytes(content)
    certunl("forget", place, *certain(4))


def test_another_method_in_between_leaves_the_states_of_the_training(tmp_path):
    place = tmp_path / "run"
    certunl("train", place, *WORDS, "weight_decay=0.01")
    certunl("forget", place, "--request", "ids:3", "--method", "finetune", "--name", "a", "--epsilon", "1")
    line = RunFolder(place).line("a", "retrain", {})
    run = RunFolder(place).run
    assert line.run.known_states is not None and line.run.states.present.all()
    late = [i for i in range(30) if retrained(run, [3, i]).cost["share_of_training"] < 1]
    for i in late[:1]:
        update = retrained(line.run, [i])
        assert update.cost["share_of_training"] < 1
        assert gap(update.params, retrained(whole(run), [3, i]).params) == 0


def test_attacks_and_audits_take_a_run_in_slices():
    run = sliced(batches="poisson", shards=2)
    audit = cu.audit_canaries(run, cu.Retrain(), cu.Budget(epsilon=1.0, delta=1e-5), classes(12, seed=2), KEY)
    assert not audit.refuted and audit.guesses > 0
    one = sliced()
    rows = cu.HessianFree().prepare(one)
    update = cu.HessianFree().forget(one, rows, [3], KEY)
    truth = model_of(one, [3])
    assert gap(update.params, truth) < gap(one.params, truth)
    assert np.isfinite(relearn_epochs(one, update.params, [3], KEY))


def model_of(run, request):
    return jax.tree.map(lambda leaf: leaf[0], cu.retrainings(run, [request]))


def test_the_repr_and_the_digests_of_runs_without_slices_are_those_of_before():
    plain = cu.Recipe()
    assert "slices" not in repr(plain) and "slices" not in plain.settings
    assert "slices=3" in repr(replace(plain, slices=3)) and replace(plain, slices=3).settings["slices"] == 3
