"""Training in stages on growing parts of the data, and replays that begin at the last state without the forgotten."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import certunl as cu
from certunl.training import chunks, replaying
from certunl.training.drawing import draw
from certunl.training.stages import even_places, stage_ends
from certunl.training.states import States
from tests.cases import KEY, Dropping, classes, gap, network
from tests.shards import SETTINGS, model
from tests.test_resuming import same

OWNERS = np.repeat(np.arange(15), 2)


def sliced(problem=None, shards=1, key=KEY, **settings):
    recipe = cu.Recipe(**SETTINGS | {"epochs": 6, "slices": 3} | settings)
    return cu.train(problem or network(), recipe, key, shards=shards)


def whole(run):
    """The same run, which nobody knows any state of."""
    return replace(run, states=None)


def retrained(run, request):
    return cu.Retrain().forget(run, None, request, KEY)


def apart(schedule, shards):
    """(indices, weights) with an axis of the shards."""
    return (np.asarray(a).reshape(len(schedule), shards, -1) for a in (schedule.indices, schedule.weights))


@pytest.mark.parametrize("shards", [0, 3])
@pytest.mark.parametrize("owners", [None, OWNERS], ids=["examples", "owners"])
@pytest.mark.parametrize("batches", ["equal", "fixed", "poisson"])
def test_each_stage_learns_from_its_slices_and_no_others(batches, owners, shards):
    if owners is not None and batches == "fixed":
        return
    recipe = cu.Recipe(**SETTINGS | {"epochs": 20}, batches=batches, slices=4)
    schedule = draw(KEY, recipe, 30, shards=shards, owners=owners)
    plain = draw(KEY, replace(recipe, slices=1), 30, shards=shards, owners=owners)
    assert len(schedule) == len(plain) and np.array_equal(schedule.rates, plain.rates)
    ends = [0, *stage_ends(4, len(schedule)), len(schedule)]
    indices, weights = apart(schedule, max(shards, 1))
    everyone = []
    for shard in range(max(shards, 1)):
        before, slices = set(), []
        for first, end in itertools.pairwise(ends):
            slots, here = indices[first:end, shard], weights[first:end, shard]
            stage = set(slots[here != 0].tolist())
            assert set(slots.ravel().tolist()) == stage > before  # an empty slot holds nobody of a later slice
            slices.append(len(stage - before))
            before = stage
        assert max(slices) - min(slices) <= (1 if owners is None else 2)
        everyone += sorted(before)
        if owners is not None:
            for owner in range(15):
                seen = [np.argmax((indices[:, shard] == i).any(axis=1)) for i in (2 * owner, 2 * owner + 1)]
                stages = np.searchsorted(ends, seen, side="right")
                assert stages[0] == stages[1] or not (indices[:, shard] == 2 * owner).any()
    assert sorted(everyone) == list(range(30))


def test_stages_have_steps_in_proportion_to_their_data():
    for slices, total in ((2, 600), (5, 4800), (9, 1000), (3, 12)):
        steps = np.diff([0, *stage_ends(slices, total), total])
        assert np.allclose(steps / total, 2 * np.arange(1, slices + 1) / (slices * (slices + 1)), atol=0.04 + 2 / total)
        assert {end for _, end in chunks.chunks(total)} > {*stage_ends(slices, total)}
        assert {end for _, end in chunks.chunks(total)} > {*even_places(slices, total)}


def test_the_key_draws_the_slices_and_no_content_does():
    data = classes(30)
    other = cu.Dataset(data.x + 1.0, (data.y + 1) % 3)
    mlp = cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64)
    first, second = (sliced(cu.classification(mlp, part)) for part in (data, other))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, first.schedule, second.schedule))
    third = sliced(first.problem, key=jax.random.key(8))
    early = [set(np.unique(run.schedule.indices[: stage_ends(3, 48)[0]]).tolist()) for run in (first, third)]
    assert early[0] != early[1] and not first.unchecked


@pytest.mark.parametrize(
    "settings",
    [{}, {"optimizer": "adam"}, {"optimizer": "momentum", "denominator": "retained"}, {"batches": "poisson"}],
    ids=["sgd", "adam", "momentum", "poisson"],
)
@pytest.mark.parametrize("shards", [1, 3])
def test_retraining_goes_on_from_the_last_stage_and_ends_with_the_same_bits(shards, settings):
    run = sliced(shards=shards, **settings)
    shares = []
    for i in range(0, 30, 3):
        update, full = retrained(run, [i]), retrained(whole(run), [i])
        assert gap(update.params, full.params) == 0
        assert gap(update.params, model(cu.retrainings(run, [[i]]), 0)) < 1e-12
        shares.append(update.cost["share_of_training"])
    assert len(set(shares)) > 1 and max(shares) <= 1 / shards and min(shares) < 0.7 / shards
    release = cu.certify(retrained(run, [0, 1]), cu.Budget(epsilon=1.0, delta=1e-5), cu.secret_key())
    assert release.certificate.verdict == "PROVED" and not release.certificate.sigma


@pytest.mark.parametrize("shards", [1, 3])
def test_requests_one_after_another_go_on_from_the_states_of_the_replay_before(shards):
    run, gone, shares = sliced(shards=shards), [], []
    first = run
    for i in np.random.default_rng(0).permutation(30)[:12].tolist():
        update = retrained(run, [i])
        gone.append(i)
        assert gap(update.params, retrained(whole(first), gone).params) == 0
        assert run.known_states is not None and not update.unchecked
        run = run.minus([i], update)
        shares.append(update.cost["share_of_training"])
        assert np.array_equal(run.states.present, run.present)
    assert np.mean(shares[6:]) < 0.95 / shards  # later ones are no dearer


@pytest.mark.parametrize("shards", [1, 3])
def test_no_bit_of_the_result_depends_on_the_forgotten(shards):
    data, ends = classes(30), []
    for shift in (0.0, 1e3):
        x, y = jnp.asarray(data.x), jnp.asarray(data.y)
        ids = jnp.array([3, 11, 20])
        changed = cu.Dataset(x.at[ids].add(shift), y.at[ids].set((y[ids] + (shift > 0)) % 3))
        mlp = cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64)
        run = sliced(cu.classification(mlp, changed), shards=shards, clip_norm=1.0)
        for i in (11, 3, 20):  # one after another
            update = retrained(run, [i])
            run = run.minus([i], update)
        ends.append((run.params, run.states.parts))
    assert gap(*ends) == 0


def test_nothing_goes_on_from_states_of_another_training():
    run = sliced()
    request = [int(i) for i in range(30) if retrained(run, [i]).cost["share_of_training"] < 1][:1]
    data = run.problem.data
    others = (
        replace(run, states=States(jax.tree.map(lambda a: a + 1.0, run.states.parts), run.states.present)),
        replace(run, problem=replace(run.problem, data=replace(data, x=data.x[np.r_[1, 0, 2:30]]))),
        replace(run, recipe=replace(run.recipe, weight_decay=0.5)),
        replace(run, start=jax.tree.map(lambda a: a + 1.0, run.start)),
        replace(run, schedule=replace(run.schedule, rates=2 * run.schedule.rates)),
        replace(run, states=replace(run.states, present=np.arange(30) > 3)),
    )
    for other in others:
        assert other.known_states is None
        assert gap(retrained(other, request).params, retrained(whole(other), request).params) == 0
    back = run.minus([4], retrained(run, [4]))
    again = replace(back, present=run.present)  # whom the states have not
    assert gap(retrained(again, [5]).params, retrained(whole(run), [5]).params) == 0


def test_parameters_without_their_update_leave_the_earlier_states():
    run = sliced()
    late = [i for i in range(30) if retrained(run, [i]).cost["share_of_training"] < 1]
    update = retrained(run, late[:1])
    doubtful = update.replace(guarantee=replace(update.guarantee, unchecked=("who knows",)))
    for given in (update.params, doubtful):
        after = run.minus(late[:1], given)
        assert after.states is run.states
        again = retrained(after, late[1:2])
        assert again.cost["share_of_training"] < 1
        assert gap(again.params, retrained(whole(run), late[:2]).params) == 0


def test_a_training_that_sees_each_example_once_goes_back_to_one_of_its_states():
    problem = network(200)
    schedule = draw(KEY, cu.Recipe(epochs=1, batch_size=2), 200)
    run = cu.fit(problem, cu.Recipe(), problem.init(KEY), schedule, states=10)
    assert list(run.states.places) == list(range(10, 100, 10))
    last = int(schedule.indices[-1, 0])
    update = retrained(run, [last])
    assert update.cost["share_of_training"] == pytest.approx(0.1) and update.unchecked
    assert gap(update.params, retrained(whole(run), [last]).params) == 0
    assert gap(run.params, cu.fit(problem, cu.Recipe(), problem.init(KEY), schedule).params) == 0


def test_random_losses_and_an_optimizer_with_a_key_go_on_as_they_were():
    random = cu.classification(Dropping(), classes(30), randomness=3)
    noisy = optax.noisy_sgd(1.0, key=jax.random.key(0))
    for shards in (1, 3):
        for run in (sliced(random, shards), sliced(shards=shards, optimizer=noisy, learning_rate=0.1)):
            for i in (2, 8, 19):
                assert gap(retrained(run, [i]).params, retrained(whole(run), [i]).params) == 0


def test_devices_that_train_shards_together_begin_at_the_earliest_state(monkeypatch):
    for room in (chunks, replaying):
        monkeypatch.setattr(room, "platform", lambda: "gpu")
    run = sliced(shards=3)
    for request in ([0, 1, 2], [7], [29]):
        update, full = retrained(run, request), retrained(whole(run), request)
        assert gap(update.params, full.params) < 1e-12
        after = run.minus(request, update)
        assert gap(retrained(after, [14]).params, retrained(whole(run), [*request, 14]).params) < 1e-12


def test_checkpoints_of_a_killed_training_have_its_states(tmp_path):
    for shards in (1, 3):
        exact = sliced(shards=shards)
        for at in (20, 45, 50):
            kept = cu.Checkpoints(tmp_path / f"{shards} {at}", seconds=0)

            def stop(done, total, at=at):
                if done >= at:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                cu.train(network(), exact.recipe, KEY, shards=shards, progress=stop, checkpoints=kept)
            again = cu.train(network(), exact.recipe, KEY, shards=shards, checkpoints=kept)
            assert same(exact, again) and gap(again.states.parts, exact.states.parts) == 0
            assert again.known_states is not None
