"""A thing of another kind, type or model at a door gets a sentence, and is never judged."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.certificates.guarantee import Guarantee
from tests.cases import KEY, classes, network, trained

X, Y = classes().x, classes().y
RUN = trained(network(), epochs=1)
RELEASE = cu.Retrain().forget(RUN, None, [1], KEY)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: cu.certify(RUN, cu.Budget(epsilon=1.0, delta=1e-5)), "certify takes the Update .* got Run and Budget"),
        (lambda: cu.certify(RELEASE, (1.0, 1e-5)), "got Update and tuple"),
        (lambda: cu.certify(RELEASE, cu.Budget(epsilon=1.0, delta=1e-5), 0), "the key of a release is secret_key"),
        (lambda: cu.evaluate(RUN, [1], cu.HessianFree()), "evaluate takes the Update .* got HessianFree"),
        (lambda: cu.evaluate(RUN, [1], RELEASE, reference="retrain"), "reference must be a method .* got str"),
        (lambda: cu.requests.random(RUN, KEY, 2), "the arguments are a key, a Run and a size"),
        (lambda: cu.requests.random(KEY, RUN, 2.5), "size must be a whole number of examples, got 2.5"),
        (lambda: cu.seeds(RUN, [5]), "typed key"),
        (lambda: cu.freeze(RUN.problem, RUN.params, trainable=lambda a, b: True), "trainable cannot be asked for"),
        (lambda: cu.adopt(RUN.problem, "ck"), "got the path 'ck'; read it by read_params"),
        (lambda: cu.train(replace(RUN.problem, init={}), cu.Recipe(), KEY), "init of a Problem must be a function"),
        (
            lambda: cu.train(replace(RUN.problem, init=lambda: 0), cu.Recipe(), KEY),
            "init of the problem cannot be called",
        ),
        (lambda: cu.read_csv({"a": [1]}, label="a"), "read_csv takes the path of a file, got dict; read_table"),
        (lambda: cu.Recipe(learning_rate=lambda t: 0.1), "a schedule of rates goes into the optimizer"),
        (lambda: cu.classification(cu.models.Linear(classes=3), cu.Dataset(X, np.eye(3)[Y])), r"y\.argmax\(axis=1\)"),
        (lambda: cu.classification(cu.models.Linear(classes=3), cu.Dataset(X, Y[:, None])), r"y\[:, 0\]"),
        (lambda: cu.classification(cu.models.Linear(classes=3), cu.Dataset(X, Y * 1.0)), r"y\.astype\(int\)"),
    ],
)
def test_a_thing_of_another_kind_gets_a_sentence(call, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        call()


@pytest.mark.parametrize(
    ("train", "test", "admitted"),
    [
        (np.int8, np.array([100, 200]), False),
        (np.uint8, np.array([0, -5]), False),
        (bool, np.array([0.0, 0.5]), False),
        (bool, np.array([0, 2]), False),
        (np.int8, np.array([3, -4]), True),
        (np.float16, np.array([0.0, 1e6]), False),
        (np.float32, np.array([0.0, 1e6]), True),
    ],
)
def test_no_number_of_a_test_set_changes_on_its_way_in(train, test, admitted):
    x, targets = np.ones((2, 3)), np.array([0, 1]).astype(train)
    problem = cu.Problem(lambda key: {"w": jnp.zeros(3)}, lambda p, b: b.x @ p["w"], cu.Dataset(x, targets))
    if admitted:
        np.testing.assert_array_equal(problem.admit(cu.Dataset(x, test)).y, test)
    else:
        with pytest.raises(cu.BadInput, match="the training data"):
            problem.admit(cu.Dataset(x, test))
    inputs = cu.Problem(lambda key: {}, lambda p, b: b.y, cu.Dataset(targets[:, None], np.ones(2)))
    if not admitted:
        with pytest.raises(cu.BadInput, match="the training data"):
            inputs.admit(cu.Dataset(test[:, None], np.ones(2)))


class Logits:
    """Losses of an outer model whose outputs have a shape of their own."""

    def __init__(self, *shape):
        self.shape = shape

    def predict(self, params, x):
        return (x @ params["w"]).reshape(len(x), *self.shape)

    def __call__(self, params, batch):
        return jnp.sum(self.predict(params, batch.x).reshape(len(batch.y), -1), axis=1)


@pytest.mark.parametrize(
    ("outputs", "labels", "kind"),
    [
        ((1,), Y % 2, "classification"),
        ((), Y % 2, "classification"),
        ((1,), Y % 2, "sequence"),
        ((), Y % 2, "sequence"),
        ((), Y % 2 + 1, "binary"),
        ((), 0.1 + 0.8 * (Y % 2), "binary"),
        ((2,), Y % 2, "binary"),
        ((2,), Y % 2, "multilabel"),
        ((2,), Y, "classification"),
        ((2,), np.eye(2)[Y % 2], "classification"),
    ],
)
def test_a_kind_that_contradicts_outputs_or_labels_is_refused_before_training(outputs, labels, kind):
    width = int(np.prod(outputs))
    init = lambda key: {"w": jnp.zeros((4, width))}  # noqa: E731
    problem = cu.Problem(init, Logits(*outputs), cu.Dataset(X, labels), kind=kind)
    for call in (
        lambda: cu.train(problem, cu.Recipe(epochs=1), KEY),
        lambda: cu.adopt(problem, problem.init(KEY)),
    ):
        with pytest.raises(cu.BadInput, match=r"do not fit outputs|labels of the data run from"):
            call()


@pytest.mark.parametrize(
    "change", [lambda a: a[..., :1], lambda a: a * np.nan, lambda a: {"inner": a}], ids=["shape", "NaN", "structure"]
)
def test_parameters_of_another_model_are_not_judged(change):
    other = replace(RELEASE, params=jax.tree.map(change, RELEASE.params))
    for arguments in ({"release": other}, {"release": RELEASE, "reference": other}):
        with pytest.raises(cu.BadInput, match=r"comes from another model|hold NaN"):
            cu.evaluate(RUN, [1], **arguments)


def test_noise_that_overflows_the_type_of_the_parameters_is_not_released():
    update = cu.Update({"a": np.zeros(50, np.float16)}, "mine", Guarantee(says=None, reference="x"), None, {})
    with pytest.raises(cu.BadInput, match=r"noise of standard deviation 1e\+06 overflows .* nothing is released"):
        cu.certify(update, cu.Budget(epsilon=None, delta=1e-5, sigma=1e6))
