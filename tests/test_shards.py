"""Models on shards of the data: each is trained as if alone, and together they are one model."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.membership.shadows import _beside
from certunl.planning import replays
from certunl.training.sharding import sharded
from certunl.training.shards import ShardInit
from tests.cases import KEY, Dropping, classes, gap, network
from tests.shards import alone_of, model, run_of, shards_of, slots


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


class Sly(ShardInit):
    def __call__(self, key):
        return jax.tree.map(lambda leaf: leaf + 1.0, super().__call__(key))


def test_an_initializer_derived_from_that_of_shards_is_not_our_own():
    problem = sharded(cu.classification(cu.models.MLP(hidden=(6,), classes=3), classes(30)), 3)
    sly = replace(problem, init=Sly(problem.init.one, 3))
    assert not cu.train(problem, cu.Recipe(epochs=1), KEY).unchecked
    assert cu.train(sly, cu.Recipe(epochs=1), KEY).unchecked


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
    assert not audit.refuted and audit.guesses > 0 and "coins" in audit.how


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
