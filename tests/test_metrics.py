"""Each metric gives retraining its ideal value, and a planted error the value counted by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm, spearmanr

import certunl as cu
from certunl.metrics import Outcome, continuous, perturbed, residual_knowledge
from tests.cases import KEY, classes, network, trained, vector

IDS = np.array([1, 2, 9, 14])
IDEAL = {
    "distance": 0,
    "relative_distance": 0,
    "cosine": 1,
    "update_cosine": 1,
    "loss_change_correlation": 1,
    "loss_change_rank_correlation": 1,
    "forget_agreement": 1,
    "test_agreement": 1,
    "tug_of_war": 1,
    "residual_knowledge": 1,
}


@pytest.fixture(scope="module")
def run():
    return trained(network(), epochs=20, learning_rate=0.3)


@pytest.fixture(scope="module")
def truth(run):
    return cu.Retrain().forget(run, None, IDS, KEY)


def judged(run, truth, params):
    planted = replace(truth, params=params, method="planted")
    return cu.evaluate(run, IDS, planted, reference=truth, test=classes(200, seed=1))


def test_retraining_has_every_ideal_value_and_doing_nothing_has_not(run, truth):
    report = judged(run, truth, truth.params)
    for name, ideal in IDEAL.items():
        assert report.rows["planted"][name] == pytest.approx(ideal, abs=1e-12), name
        wrong = report.rows["original"][name]
        assert np.isnan(wrong) or abs(wrong - ideal) > 1e-6, name


def test_cosines_of_a_planted_overshoot(run, truth):
    """Twice the way to retraining: in the right direction, at the distance of doing nothing."""
    over = jax.tree.map(lambda o, t: o + 2 * (t - o), run.params, truth.params)
    row = judged(run, truth, over).rows["planted"]
    assert row["update_cosine"] == pytest.approx(1) and row["relative_distance"] == pytest.approx(1)
    a, b = vector(over), vector(truth.params)
    assert row["cosine"] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) and row["cosine"] < 1
    back = jax.tree.map(lambda o, t: o - (t - o), run.params, truth.params)
    assert judged(run, truth, back).rows["planted"]["update_cosine"] == pytest.approx(-1)


def test_agreement_and_tug_of_war_of_a_model_whose_classes_are_turned(run, truth):
    """Outputs of classes 0 and 1 exchanged: agreement is the share of examples that retraining puts in class 2."""
    turned = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf[..., jnp.array([1, 0, 2])] if "Dense_1" in str(path) else leaf, truth.params
    )
    row = judged(run, truth, turned).rows["planted"]
    test, data = classes(200, seed=1), run.problem.data

    def predicted(params, x):
        return np.argmax(run.problem.losses.predict(params, jnp.asarray(x)), axis=-1)

    assert row["test_agreement"] == pytest.approx(np.mean(predicted(truth.params, test.x) == 2))
    product = 1.0
    for part in (data[IDS], data[np.setdiff1d(np.arange(30), IDS)], test):
        hits = [np.mean(predicted(p, part.x) == np.asarray(part.y)) for p in (turned, truth.params)]
        product *= 1 - abs(hits[0] - hits[1])
    assert row["tug_of_war"] == pytest.approx(product) and product < 0.7


def test_rank_correlation_is_scipys(run, truth):
    half = jax.tree.map(lambda o, t: 0.5 * (o + t) + 0.05 * jnp.cos(t * 50), run.params, truth.params)
    row = judged(run, truth, half).rows["planted"]
    losses = [np.asarray(run.problem.losses(p, run.problem.data[IDS])) for p in (run.params, half, truth.params)]
    changes = losses[1] - losses[0], losses[2] - losses[0]
    assert row["loss_change_rank_correlation"] == pytest.approx(spearmanr(*changes)[0])
    assert row["loss_change_correlation"] == pytest.approx(np.corrcoef(*changes)[0, 1])


def test_knowledge_near_forgotten_examples_is_the_tail_of_a_normal_law():
    """Half of the inputs at 1, half at −1: their deviation is 1, and perturbations have a tenth of it."""
    x = np.repeat([1.0, -1.0], 500)[:, None]
    problem = cu.binary(cu.models.Linear(classes=1, dtype=jnp.float64), cu.Dataset(x, (x[:, 0] > 0).astype(int)))

    def model(bias):
        return {"Dense_0": {"kernel": jnp.ones((1, 1)), "bias": jnp.full(1, bias)}}

    run = replace(trained(problem, epochs=1), params=model(0.0))
    truth = replace(cu.Retrain().forget(run, None, np.arange(999), KEY), params=model(-0.95))
    near = replace(truth, params=model(-1.1), method="near")
    rows = cu.evaluate(run, np.arange(1000)[:-1], near, reference=truth).rows
    for name, share in (("original", 1), ("retrain", (norm.cdf(0.5) + 1) / 2), ("near", (norm.cdf(-1) + 1) / 2)):
        assert rows[name]["perturbed_accuracy"] == pytest.approx(share, abs=0.01)
        ratio = rows[name]["perturbed_accuracy"] / rows["retrain"]["perturbed_accuracy"]
        assert rows[name]["residual_knowledge"] == pytest.approx(ratio, rel=1e-12)
    assert rows["original"]["residual_knowledge"] > 1.1 > 1 > 0.9 > rows["near"]["residual_knowledge"]


@pytest.mark.parametrize(
    ("mine", "theirs", "told"),
    [([[1, 0], [1, 1]], [[1, 0], [0, 0]], 3.0), ([[0], [1]], [[0], [0]], np.inf), ([[0], [0]], [[0], [0]], 1.0)],
)
def test_knowledge_where_retraining_gets_few_or_none_right(mine, theirs, told):
    missing = dict.fromkeys(Outcome.__dataclass_fields__)
    found = residual_knowledge(
        Outcome(**missing | {"perturbed": np.array(mine), "retrained_perturbed": np.array(theirs)})
    )
    assert found == {"perturbed_accuracy": np.mean(mine), "residual_knowledge": told}
    assert residual_knowledge(Outcome(**missing)) == {}


def test_each_class_by_hand(run, truth):
    report = judged(run, truth, truth.params)
    test = classes(200, seed=1)
    predicted = np.argmax(run.problem.losses.predict(truth.params, jnp.asarray(test.x)), axis=-1)
    losses = np.asarray(run.problem.losses(truth.params, test))
    for label in range(3):
        mine = np.asarray(test.y) == label
        row = report.rows["planted"]
        assert row[f"class_{label}_test_accuracy"] == pytest.approx(np.mean(predicted[mine] == label))
        assert row[f"class_{label}_test_loss"] == pytest.approx(np.mean(losses[mine]))
    assert not any(name.startswith("class_") for name in report.columns())


def test_relearning_takes_no_epoch_where_nothing_was_forgotten_and_some_where_it_was(run, truth):
    from certunl.membership.relearning import relearn_epochs

    assert relearn_epochs(run, run.params, IDS, KEY) == 0
    again = relearn_epochs(run, truth.params, IDS, KEY, most=200)
    worse = jax.tree.map(lambda leaf: -leaf, truth.params)
    assert 1 <= again <= relearn_epochs(run, worse, IDS, KEY, most=200) < np.inf
    assert relearn_epochs(run, worse, IDS, KEY, most=1) == np.inf


def test_noise_costs_more_accuracy_the_more_there_is(run):
    from certunl.evaluation.tradeoff import tradeoff

    found = tradeoff(run.problem, run.params, run.problem.data, KEY, sigma=0.123)
    levels = list(found)
    assert levels == sorted(levels) and levels[0] == 0 and 0.123 in levels
    predicted = np.argmax(run.problem.losses.predict(run.params, run.problem.data.x), axis=-1)
    assert found[0.0] == pytest.approx(np.mean(predicted == np.asarray(run.problem.data.y)))
    assert found[levels[1]] == pytest.approx(found[0.0], abs=0.01) and found[levels[-1]] < 0.6 < found[0.0]


def test_a_perturbation_has_a_tenth_of_the_deviation_of_each_array_and_keeps_its_type():
    rng = np.random.default_rng(0)
    half = jnp.asarray(3 * rng.normal(size=(40, 50)), jnp.bfloat16)
    data = cu.Dataset({"a": jnp.asarray(rng.normal(size=(40, 50)) + 7), "b": half}, np.zeros(40, int))
    with jax.numpy_dtype_promotion("strict"):
        near = perturbed(data, KEY)
    assert {name: leaf.dtype for name, leaf in near.x.items()} == {"a": jnp.float64, "b": jnp.bfloat16}
    moved = [np.asarray(near.x[name], float) - np.asarray(data.x[name], float) for name in ("a", "b")]
    assert [m.std() for m in moved] == pytest.approx([0.1, 0.3], rel=0.05) and abs(np.mean(moved)) < 0.02
    assert abs(np.corrcoef(moved[0].ravel(), moved[1].ravel())[0, 1]) < 0.1
    assert continuous(data) and not continuous(replace(data, x={"a": data.x["a"], "b": np.zeros((40, 2), np.int8)}))
