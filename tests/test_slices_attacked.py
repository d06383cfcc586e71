"""Ways to make a replay go on from a state that is not its own. Each of them must end with exact retraining."""

from dataclasses import replace

import jax
import numpy as np
import optax
import pytest

import certunl as cu
from certunl.folders import RunFolder
from certunl.planning import replays
from tests.cases import KEY, classes, gap, network
from tests.shards import shards_of
from tests.test_slices import retrained, sliced, whole
from tests.verbs import certunl, refused

WORDS = ("--dataset", "wine", "--model", "mlp", "--set", "epochs=8", "hidden=(8,)", "batch_size=8", "slices=3")


def exact(run, gone):
    """Retraining from the start, of everything."""
    alone = replace(whole(run), present=run.present, provenance=replace(run.provenance, end=""))
    return retrained(alone, gone).params


def early_and_late(run):
    """An example of a shard's first slice, one of another shard, and one of the first shard's last slice."""
    first, other = shards_of(run)[:2]
    share = {int(i): retrained(run, [int(i)]).cost["share_of_training"] for i in first}
    return max(share, key=share.get), int(other[0]), min(share, key=share.get)


def test_an_update_without_its_states_leaves_those_before(tmp_path):
    run = sliced(shards=3)
    early, other, late = early_and_late(run)
    update = retrained(run, [early])
    cu.save(cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5), cu.secret_key()), tmp_path / "release")
    loaded = cu.load(tmp_path / "release").update
    for given in (loaded, update.replace(states=None), update.replace(states=None, seal=""), update.replace(end="")):
        after = run.minus([early], given)
        second = retrained(after, [other])
        third = retrained(after.minus([other], second), [late])
        assert gap(second.params, exact(run, [early, other])) == 0
        assert gap(third.params, exact(run, [early, other, late])) == 0


def test_an_update_of_another_run_or_of_a_sibling_is_not_taken_for_ones_own():
    run, stranger = sliced(shards=3), sliced(shards=3, key=jax.random.key(99))
    early, other, late = early_and_late(run)
    after = stranger.minus([early], retrained(run, [early]))
    assert not after.known_end and after.known_states is None
    assert gap(retrained(after, [late]).params, exact(stranger, [early, late])) == 0
    assert replace(stranger, states=run.states).known_states is None
    siblings = run.minus([early], retrained(run, [early])).minus([other], retrained(run, [other]))
    assert not siblings.known_end
    assert gap(retrained(siblings, [late]).params, exact(run, [early, other, late])) == 0


def test_whoever_comes_back_is_trained_on_again():
    run = sliced(shards=3)
    early, other, late = early_and_late(run)
    back = replace(run.minus([early], retrained(run, [early])), present=run.present)
    second = retrained(back, [other])
    assert gap(second.params, exact(run, [other])) == 0
    third = retrained(back.minus([other], second), [late])
    assert gap(third.params, exact(run, [other, late])) == 0


def test_states_are_bound_to_their_places_and_to_the_form_of_the_optimizer():
    run = sliced(optimizer="momentum")
    moved = {step - 2: leaves for step, leaves in run.states.parts[0].items()}
    assert replace(run, states=replace(run.states, parts=(moved,))).known_states is None
    own = sliced(optimizer=optax.trace(decay=0.9))
    assert own.known_states is not None
    other = replace(own, recipe=replace(own.recipe, optimizer=optax.sgd(1.0)))
    assert other.known_states is None
    assert gap(retrained(other, [3]).params, exact(other, [3])) == 0


class Whole:
    """Losses that read the whole batch, also in slots of weight 0."""

    def __call__(self, params, batch):
        return 0.5 * (batch.x @ params["w"] - batch.y - batch.x.mean()) ** 2


def test_a_slot_of_weight_0_counts_where_losses_read_the_batch():
    rng, n = np.random.default_rng(0), 40
    data = cu.Dataset(rng.normal(size=(n, 3)), rng.normal(size=n))
    problem = cu.Problem(init=lambda key: {"w": jax.random.normal(key, (3,))}, losses=Whole(), data=data)
    indices = np.arange(n).reshape(20, 2)
    indices[2, 1] = 35  # long before its own slot
    weights = np.ones((20, 2))
    weights[2, 1] = 0
    schedule = cu.Schedule(indices, weights, np.full(20, 0.1))
    run = cu.fit(problem, cu.Recipe(), problem.init(KEY), schedule, states=5)
    update = retrained(run, [35])
    assert update.cost["share_of_training"] == 1 and gap(update.params, exact(run, [35])) == 0
    assert retrained(run, [36]).cost["share_of_training"] < 0.3


def test_padding_outside_of_the_data_is_that_of_jax():
    indices, weights = np.arange(40).reshape(20, 2), np.ones((20, 2))
    indices[1, 1], weights[1, 1] = 10**6, 0
    problem = network(40)
    schedule = cu.Schedule(indices, weights, np.full(20, 0.1))
    run = cu.fit(problem, cu.Recipe(), problem.init(KEY), schedule, states=5)
    assert gap(retrained(run, [39]).params, exact(run, [39])) == 0
    assert replays(run).share(1) < 1


def test_states_that_would_serve_nobody_are_refused():
    with pytest.raises(cu.BadInput, match="every example is learnt before step"):
        cu.train(network(), cu.Recipe(epochs=5, batch_size=3), KEY, states=4)
    run = cu.train(network(), cu.Recipe(epochs=1, batch_size=1), KEY, states=jax.numpy.array(3))
    assert run.states.places == (10, 20)


def test_a_folder_whose_model_was_purged_goes_on_from_the_states_of_its_last_update(tmp_path, capsys):
    place = tmp_path / "run"
    certunl("train", place, *WORDS)
    run = RunFolder(place).run
    late = [i for i in range(40) if retrained(run, [i]).cost["share_of_training"] < 1][:3]
    certunl("forget", place, "--request", f"ids:{late[0]}", "--method", "retrain", "--epsilon", "1")
    certunl("forget", place, "--request", "ids:100", "--method", "finetune", "--name", "b", "--epsilon", "1")
    capsys.readouterr()
    certunl("ledger", place, "--residue")
    assert "states of its training" in capsys.readouterr().out
    certunl("purge", place, "--model")
    line = RunFolder(place).line("retrain", "retrain", {})
    assert sorted(np.flatnonzero(~np.asarray(line.run.present)).tolist()) == sorted([late[0], 100])
    update = retrained(line.run, [late[1]])
    assert gap(update.params, exact(run, [late[0], 100, late[1]])) == 0


def test_the_command_line_keeps_states_and_refuses_those_that_serve_nobody(tmp_path, capsys):
    words = ("--dataset", "wine", "--model", "mlp", "--set", "epochs=1", "batch_size=2", "hidden=(8,)", "--states")
    certunl("train", tmp_path / "run", *words, "4")
    assert RunFolder(tmp_path / "run").run.known_states is not None
    assert "would serve no request" in refused(
        capsys, "train", tmp_path / "other", *[word.replace("epochs=1", "epochs=9") for word in words], "4"
    )


def test_further_training_keeps_no_states():
    run = sliced()
    repaired, _ = cu.HessianFree().repair(run, cu.HessianFree().prepare(run), KEY, epochs=1)
    assert repaired.states is None and repaired.known_states is None


@pytest.mark.parametrize("shards", [1, 3])
def test_data_that_were_written_over_are_noticed(shards):
    x = np.array(classes(30).x)
    alias = jax.device_put(x)  # JAX may share the memory of NumPy
    run = sliced(cu.classification(cu.models.MLP(hidden=(6,), classes=3), cu.Dataset(alias, classes(30).y)), shards)
    before = np.asarray(alias).copy()
    x[:] = 5.0
    jax.block_until_ready(alias)
    same = np.array_equal(before, np.asarray(run.problem.data.x))
    assert (run.known_states is not None) == same
    assert gap(retrained(run, [3]).params, exact(run, [3])) == 0
