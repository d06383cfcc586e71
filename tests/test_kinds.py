"""The problem says what its outputs mean; nothing is guessed from dtypes or shapes."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import certunl as cu
from certunl.training.losses import sequence_loss
from tests.cases import KEY, classes, trained, vector

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4))
BIT = (X[:, 0] > 0).astype(np.int32)


class Tagger(nn.Module):
    """One dense layer at every place of a sequence of words, read from a dictionary of words and their mask."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        words = nn.Embed(6, 3, param_dtype=jnp.float64)(x["words"]) * x["mask"][..., None]
        return nn.Dense(4, param_dtype=jnp.float64)(words)


def sequences(n: int = 12, seed: int = 0) -> cu.Dataset:
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 6, size=(n, 5))
    mask = (rng.random((n, 5)) > 0.3).astype(np.float64)
    labels = np.where(mask > 0, words % 4, -1)
    return cu.Dataset({"words": words, "mask": mask}, labels)


def tagging() -> cu.Problem:
    return cu.supervised(Tagger(), sequences(), sequence_loss, kind="sequence")


def linear(outputs: int) -> Any:
    return cu.models.Linear(classes=outputs, dtype=jnp.float64)


@pytest.mark.parametrize(
    "y", [BIT, BIT.astype(float), BIT.astype(bool), BIT[:, None]], ids=["int", "float", "bool", "n1"]
)
def test_a_binary_problem_has_the_logistic_loss_and_the_accuracy_of_the_sign(y):
    run = trained(cu.binary(linear(1), cu.Dataset(X, y)), epochs=30, learning_rate=0.5)
    params = run.params
    z = np.asarray(run.problem.losses.predict(params, run.problem.data.x))[:, 0]
    scores = run.problem.scores(params, run.problem.data)
    np.testing.assert_allclose(scores.losses, np.log1p(np.exp(-(2 * BIT - 1) * z)), rtol=1e-9)
    np.testing.assert_array_equal(scores.correct, (z > 0) == (BIT == 1))
    np.testing.assert_allclose(scores.margins(), (2 * BIT - 1) * z, rtol=1e-9)
    assert scores.correct.mean() > 0.9


def test_binary_equals_two_classes_with_the_difference_of_their_logits():
    one = cu.binary(linear(1), cu.Dataset(X, BIT))
    two = cu.classification(linear(2), cu.Dataset(X, BIT))
    w = RNG.normal(size=(4, 1))
    ones = {"Dense_0": {"kernel": jnp.asarray(w), "bias": jnp.asarray([0.3])}}
    both = {"Dense_0": {"kernel": jnp.asarray(np.hstack([0 * w, w])), "bias": jnp.asarray([0, 0.3])}}
    assert jax.tree.map(jnp.shape, one.init(KEY)) == jax.tree.map(jnp.shape, ones)
    a, b = one.scores(ones, one.data), two.scores(both, two.data)
    for name in ("losses", "correct", "outputs", "labels"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(a.margins(), b.margins(), rtol=1e-9)


def test_several_bits_are_judged_one_by_one():
    y = np.stack([BIT, 1 - BIT, (X[:, 1] > 0).astype(int)], axis=1)
    run = trained(cu.multilabel(linear(3), cu.Dataset(X, y)), epochs=2)
    z = np.asarray(run.problem.losses.predict(run.params, run.problem.data.x))
    scores = run.problem.scores(run.params, run.problem.data)
    np.testing.assert_allclose(scores.losses, np.log1p(np.exp(-(2 * y - 1) * z)).sum(1), rtol=1e-9)
    np.testing.assert_allclose(scores.correct, ((z > 0) == (y == 1)).mean(1))
    assert scores.outputs is None and scores.labels is None


def test_a_sequence_is_supervised_by_its_loss():
    short, long = cu.sequence(Tagger(), sequences()), tagging()
    assert short.losses == long.losses and short.init == long.init and short.kind == long.kind == "sequence"
    with pytest.raises(cu.BadInput, match="a sequence has one label for each vector of logits"):
        cu.sequence(Tagger(), replace(sequences(), y=sequences().y[:, 0]))


def test_places_of_a_sequence_without_a_label_do_not_count():
    problem = tagging()
    run = trained(problem, epochs=2)
    scores = problem.scores(run.params, problem.data)
    outputs = np.asarray(problem.losses.predict(run.params, problem.data.x))
    y = np.asarray(problem.data.y)
    log = outputs - np.log(np.exp(outputs).sum(-1, keepdims=True))
    for i in range(len(y)):
        places = np.flatnonzero(y[i] >= 0)
        assert np.isclose(scores.losses[i], -np.mean(log[i, places, y[i, places]]))
        assert np.isclose(scores.correct[i], np.mean(outputs[i, places].argmax(-1) == y[i, places]))


def test_every_step_of_the_story_works_on_trees_of_inputs():
    run = trained(tagging(), epochs=2)
    test = sequences(seed=1)
    for method in (cu.HessianFree(), cu.Newton(operator="ggn", damping=1.0), cu.Retrain(), cu.NegGrad()):
        update = method.forget(run, method.prepare(run), [1, 5, 7], KEY)
        report = cu.evaluate(run, [1, 5, 7], update, test=test, key=KEY, attacks=["lira", "rmia"], shadows=4)
        assert 0 <= report.rows["original"]["test_accuracy"] <= 1 and not report.left_out
        assert "residual_knowledge" not in report.columns()  # tokens are whole numbers
    assert cu.loss_changes(run, test).shape == (12,)
    assert cu.HessianFree().prepare(run).correction([3])
    assert len(cu.requests.near_duplicates(run, 2)) == 2


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int8, np.uint8, bool])
def test_regression_on_whole_numbers_is_regression(dtype):
    targets = np.abs(np.rint(3 * X[:, 0])).astype(dtype)
    run = trained(cu.regression(linear(1), cu.Dataset(X, targets)), epochs=2)
    assert jnp.issubdtype(run.problem.data.y.dtype, jnp.floating)
    same = trained(cu.regression(linear(1), cu.Dataset(X, targets.astype(float))), epochs=2)
    np.testing.assert_array_equal(vector(run.params), vector(same.params))
    test = cu.Dataset(X[:9], targets[:9])
    reports = [cu.evaluate(r, [1, 2, 3], cu.Retrain().forget(r, None, [1, 2, 3], KEY), test=test) for r in (run, same)]
    assert not [name for name in reports[0].rows["original"] if "accuracy" in name or "class" in name]
    for name, value in reports[0].rows["original"].items():
        assert value == pytest.approx(reports[1].rows["original"][name], nan_ok=True)


def test_a_problem_that_does_not_say_what_it_is_has_losses_alone():
    class Losses:
        def predict(self, params, x):
            return x @ params["w"]

        def __call__(self, params, batch):
            return (self.predict(params, batch.x) - batch.y) ** 2

    problem = cu.Problem(init=lambda key: {"w": jnp.zeros(4)}, losses=Losses(), data=cu.Dataset(X, BIT))
    assert problem.scores(problem.init(KEY), problem.data).correct is None and problem.classes() is None
    said = replace(problem, kind="binary")
    assert said.scores(said.init(KEY), said.data).correct is not None
    with pytest.raises(cu.BadInput, match="kind must be one of None, classification"):
        replace(problem, kind="clusters")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: cu.binary(linear(1), cu.Dataset(X, 2 * BIT - 1)), "run from -1 to 1, but the model predicts 0 to 1"),
        (lambda: cu.binary(linear(2), cu.Dataset(X, BIT)), "needs one logit and one label"),
        (lambda: cu.binary(linear(1), cu.Dataset(X, X[:, 0])), "run from"),
        (lambda: cu.multilabel(linear(3), cu.Dataset(X, BIT)), "do not fit outputs"),
        (lambda: cu.multilabel(linear(2), cu.Dataset(X, np.stack([BIT, 2 * BIT], 1))), "predicts 0 to 1"),
        (lambda: cu.classification(linear(2), cu.Dataset(X, X[:, 0])), "use regression"),
        (lambda: cu.classification(linear(2), cu.Dataset(X, BIT[:, None])), "labels must be integers"),
        (lambda: cu.supervised(Tagger(), sequences(), sequence_loss, kind="sentence"), "kind must be one of"),
        (
            lambda: cu.supervised(
                Tagger(), replace(sequences(), y=sequences().y[:, :3]), sequence_loss, kind="sequence"
            ),
            "do not fit outputs",
        ),
        (
            lambda: cu.supervised(Tagger(), replace(sequences(), y=sequences().y + 3), sequence_loss, kind="sequence"),
            "predicts 0 to 3",
        ),
        (
            lambda: cu.SCRUB().forget(trained(cu.binary(linear(1), cu.Dataset(X, BIT))), None, [1], KEY),
            "needs a classif",
        ),
    ],
)
def test_targets_of_another_kind_are_refused_in_a_sentence(make, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        make()


def test_classes_are_those_of_the_model():
    assert cu.classification(linear(5), classes()).classes() == 5 and tagging().classes() == 4
    assert cu.binary(linear(1), cu.Dataset(X, BIT)).classes() is None
