"""Models on shards of the data: each is trained as if alone, and forgetting replays few of them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import certunl as cu
from certunl.folders import RunFolder
from certunl.membership.shadows import _beside
from certunl.planning import Replays, replays
from certunl.training.schedule import draw
from certunl.training.sharding import holding, members, only, sharded
from certunl.training.shards import ShardInit
from tests.cases import KEY, classes, gap, network
from tests.verbs import certunl, refused

SETTINGS = {"learning_rate": 0.3, "epochs": 3, "batch_size": 4, "weight_decay": 0.05}


def run_of(problem=None, shards=3, **settings):
    return cu.train(problem or network(), cu.Recipe(**SETTINGS | settings), KEY, shards=shards)


def shards_of(run):
    return members(run.schedule, run.problem.shards)


def slots(schedule):
    return schedule.indices, schedule.weights


def alone_of(run, shard):
    """The schedule of one shard as that of a training of its own."""
    _, _, part = only(run.problem, run.start, run.schedule, np.array([shard]))
    return cu.Schedule(*slots(part), part.rates, part.divisors[:, 0])


def model(tree, shard):
    return jax.tree.map(lambda leaf: leaf[shard], tree)


@pytest.mark.parametrize("settings", [{}, {"optimizer": "momentum", "clip_norm": 0.1}, {"optimizer": "adam"}])
@pytest.mark.parametrize("batches", ["equal", "fixed", "poisson"])
def test_each_model_is_that_of_a_training_on_its_shard_alone(settings, batches):
    run = run_of(batches=batches, **settings)
    for shard in range(3):
        schedule = alone_of(run, shard)
        one = cu.fit(network(), run.recipe, model(run.start, shard), schedule)
        assert gap(model(run.params, shard), one.params) < 1e-12


def test_shards_are_disjoint_and_hold_every_example_and_all_of_an_owner():
    for owners in (None, np.repeat(np.arange(10), 3)):
        run = run_of(network(owners=owners))
        parts = shards_of(run)
        assert sorted(np.concatenate(parts).tolist()) == list(range(30))
        if owners is None:
            assert [len(part) for part in parts] == [10, 10, 10]
        else:
            assert sorted(np.concatenate([np.unique(owners[part]) for part in parts]).tolist()) == list(range(10))


def test_the_key_draws_the_shards_and_no_content_does():
    data = classes(30)
    other = cu.Dataset(data.x + 1.0, (data.y + 1) % 3)
    model = cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64)
    first, second = (run_of(cu.classification(model, part)) for part in (data, other))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, first.schedule, second.schedule))
    third = cu.train(first.problem.one, first.recipe, jax.random.key(8), shards=3)
    assert [part.tolist() for part in shards_of(third)] != [part.tolist() for part in shards_of(first)]


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


class Sly(ShardInit):
    def __call__(self, key):
        return jax.tree.map(lambda leaf: leaf + 1.0, super().__call__(key))


def test_an_initializer_derived_from_that_of_shards_is_not_our_own():
    problem = sharded(cu.classification(cu.models.MLP(hidden=(6,), classes=3), classes(30)), 3)
    sly = replace(problem, init=Sly(problem.init.one, 3))
    assert not cu.train(problem, cu.Recipe(epochs=1), KEY).unchecked
    assert cu.train(sly, cu.Recipe(epochs=1), KEY).unchecked


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


def naive(kind, run, x):
    """The outputs of the models one by one, and the mean of their probabilities."""
    outputs = np.stack([run.problem.one.outputs(model(run.params, s), x) for s in range(3)])
    if kind == "classification":
        chances = np.exp(outputs) / np.exp(outputs).sum(-1, keepdims=True)
        return np.log(chances.mean(0))
    if kind == "regression":
        return outputs.mean(0)
    chances = (1 / (1 + np.exp(-outputs))).mean(0)
    return np.log(chances / (1 - chances))


@pytest.mark.parametrize("kind", ["classification", "binary", "multilabel", "regression"])
def test_the_ensemble_predicts_by_the_mean_of_the_probabilities(kind):
    data = classes(30)
    y = {"classification": data.y, "binary": data.y % 2, "regression": data.x[:, 0]}
    y["multilabel"] = np.stack([data.y % 2, data.y // 2], axis=1)
    outputs = {"classification": 3, "multilabel": 2}.get(kind, 1)
    mlp = cu.models.MLP(hidden=(6,), classes=outputs, dtype=jnp.float64)
    run = run_of(getattr(cu, kind)(mlp, cu.Dataset(data.x, y[kind]), l2=0.1))
    expected = naive(kind, run, run.problem.data.x)
    assert np.allclose(run.problem.outputs(run.params, run.problem.data.x), expected, atol=1e-12)
    sizes = [
        np.sum(np.concatenate([np.ravel(a) for a in jax.tree.leaves(model(run.params, s))]) ** 2) for s in range(3)
    ]
    losses = np.asarray(run.problem.one.losses.output_loss(expected, run.problem.data.y)) + 0.05 * np.mean(sizes)
    assert np.allclose(run.problem.scores(run.params, run.problem.data).losses, losses, atol=1e-12)


def test_losses_without_outputs_are_averaged():
    whole = network()
    problem = cu.Problem(init=whole.init, losses=lambda p, batch: whole.losses(p, batch), data=classes(30))
    run = run_of(problem)
    each = [problem.losses(model(run.params, s), problem.data) for s in range(3)]
    assert np.allclose(run.problem.scores(run.params, run.problem.data).losses, np.mean(each, axis=0), atol=1e-12)


class Dropping(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Dropout(0.5, deterministic=not train)(nn.relu(nn.Dense(6, param_dtype=x.dtype)(x)))
        return nn.Dense(3, param_dtype=x.dtype)(x)


def test_random_losses_are_those_of_a_training_alone():
    problem = cu.classification(Dropping(), classes(30), randomness=3)
    run, still = run_of(problem), run_of(cu.classification(Dropping(), classes(30)))
    schedule = alone_of(run, 1)
    one = cu.fit(problem, run.recipe, model(run.start, 1), schedule)
    assert gap(model(run.params, 1), one.params) < 1e-12 and gap(run.params, still.params) > 1e-3


def test_losses_of_whole_batches_never_see_the_examples_of_another_shard():
    run = run_of(network(n=31))  # whose shards are of different sizes, with empty slots
    parts = shards_of(run)
    assert (np.asarray(run.schedule.weights) == 0).any()
    masked = run.schedule.without([int(i) for part in parts for i in part[:4]])
    indices, weights = (np.asarray(a).reshape(len(masked), 3, -1) for a in slots(masked))
    for shard, part in enumerate(parts):
        assert set(indices[:, shard].ravel().tolist()) == set(part[4:].tolist())
        assert set(indices[:, shard][weights[:, shard] != 0].tolist()) == set(part[4:].tolist())


def test_shadow_models_keep_each_test_candidate_in_the_shard_of_its_member():
    run = run_of()
    inside = np.array([2, 11, 23])
    wide = _beside(run.schedule, inside, 30)
    indices, weights = (np.asarray(a).reshape(len(wide), 3, -1) for a in slots(wide))
    for shard, part in enumerate(shards_of(run)):
        others = {30 + j for j, i in enumerate(inside) if i in part}
        assert set(indices[:, shard][weights[:, shard] != 0].tolist()) == set(part.tolist()) | others
        assert set(indices[:, shard].ravel().tolist()) == set(part.tolist()) | others


def test_attacks_audits_and_the_report_take_the_ensemble_as_one_model():
    data = classes(60)
    run = run_of(cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), data), batches="poisson")
    update = cu.Retrain().forget(run, None, [1, 2, 3, 4], KEY)
    release = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5), cu.secret_key())
    given = {"test": classes(40, seed=1), "reference": cu.Retrain(), "key": KEY, "shadows": 4}
    report = cu.evaluate(run, [1, 2, 3, 4], release, **given)
    assert {"lira", "relearn", "update_difference"} <= set(report.attacks["retrain"]) and "PROVED" in str(report)
    audit = cu.audit_canaries(run, cu.Retrain(), cu.Budget(epsilon=1.0, delta=1e-5), classes(12, seed=2), KEY)
    assert not audit.refuted


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
    assert "from 11 examples on" in str(equal)


@pytest.mark.parametrize("name", cu.registry.names("methods"))
def test_other_methods_say_that_they_work_on_one_model(name):
    method = cu.registry.build("methods", name)
    if name in ("retrain", "noisy_retrain"):  # the other has its own test
        return
    run = run_of()
    with pytest.raises(cu.BadInput, match=r"one model|closed form|no such model"):
        method.forget(run, None, [1], cu.secret_key() if method.own_noise else KEY)


def test_wrong_shards_are_refused():
    problem = network()
    owned = network(owners=np.repeat(np.arange(2), 15))
    cases = [
        (lambda: run_of(problem, shards=0), "shards must be a whole number"),
        (lambda: run_of(problem, shards=31), "31 shards need at least as many examples, and the data have 30"),
        (lambda: run_of(owned, shards=3), "3 shards need at least as many owners, and the data have 2"),
        (lambda: run_of(owned, shards=2, batches="fixed"), 'cannot be "fixed"'),
        (lambda: run_of(problem, radius=1.0), "leave radius out"),
        (lambda: run_of(run_of().problem), "sharded already"),
        (lambda: cu.fit(problem, cu.Recipe(), model(run_of().start, 0), run_of().schedule), "the problem has none"),
        (lambda: cu.HessianFree().prepare(run_of()), "use Retrain"),
        (lambda: cu.Features.of(run_of()), "use Retrain"),
        (lambda: cu.plan(run_of()), "use Retrain"),
        (lambda: replays(cu.train(problem, cu.Recipe(epochs=1), KEY)), "has no shards"),
    ]
    for call, sentence in cases:
        with pytest.raises(cu.BadInput, match=sentence):
            call()
    run = run_of()
    flat = replace(run.schedule, divisors=jnp.ones(len(run.schedule)))
    with pytest.raises(cu.BadInput, match="divisors of shape"):
        cu.fit(run.problem, run.recipe, run.start, flat)


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
