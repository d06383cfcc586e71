"""Data from outside are checked at every door, and every refusal is one sentence."""

import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import certunl as cu
from tests.cases import KEY, classes, network, trained

X, Y = classes().x, classes().y
RUN = trained(network(), epochs=1)


def with_(row: int, column: int, value: float) -> np.ndarray:
    x = X.copy()
    x[row, column] = value
    return x


WRONG = {
    "NaN": (lambda: cu.Dataset(with_(3, 1, np.nan), Y), r"NaN or infinity in 1 of 30 examples \(first: 3\)"),
    "infinity": (lambda: cu.Dataset(with_(3, 1, -np.inf), Y), "NaN or infinity"),
    "beyond 1e15": (lambda: cu.Dataset(with_(0, 0, 1e16), Y), "within 1e15 of 0"),
    "labels the model has not": (lambda: cu.Dataset(X, Y + 7), "the model predicts 0 to 2"),
    "negative labels": (lambda: cu.Dataset(X, Y - 1), "the model predicts 0 to 2"),
    "labels that are no whole numbers": (lambda: cu.Dataset(X, Y + 0.5), "y of .* is float64"),
    "fewer labels": (lambda: cu.Dataset(X, Y[:10]), "one row per example"),
    "labels of shape [n, 1]": (lambda: cu.Dataset(X, Y[:, None]), r"y of shape \[1\]"),
    "one-hot labels": (lambda: cu.Dataset(X, np.eye(3)[Y]), r"y of shape \[3\]"),
    "fewer features": (lambda: cu.Dataset(X[:, :3], Y), r"x of shape \[3\]"),
    "images": (lambda: cu.Dataset(X[:, :, None], Y), r"x of shape \[4, 1\]"),
    "no rows": (lambda: cu.Dataset(X[:0], Y[:0]), "no example"),
    "a tuple": (lambda: (X, Y), "must be a Dataset"),
    "an array": (lambda: X, "must be a Dataset"),
    "splits": (lambda: cu.datasets.load("wine"), "must be a Dataset"),
    "another tree": (lambda: cu.Dataset({"x": X}, Y), "has the arrays"),
    "nothing": (lambda: cu.Dataset({}, Y), "holds no array"),
    "sparse": (lambda: cu.Dataset(scipy.sparse.csr_matrix(X), Y), "sparse matrix"),
    "sparse array": (lambda: cu.Dataset(scipy.sparse.coo_array(X), Y), "sparse matrix"),
    "ragged": (lambda: cu.Dataset([[1.0, 2.0], [1.0]], [0, 1]), "ragged"),
    "objects": (lambda: cu.Dataset(X.astype(object), Y), "real numbers, got dtype object"),
    "words": (lambda: cu.Dataset(X.astype(str), Y), "real numbers, got dtype <U"),
    "complex": (lambda: cu.Dataset(X.astype(complex), Y), "real numbers, got dtype complex"),
    "dates": (lambda: cu.Dataset(np.zeros((30, 4), "datetime64[s]"), Y), "real numbers"),
    "labels in words": (lambda: cu.Dataset(X, Y.astype(str)), "y of .* must hold real numbers"),
    "a string": (lambda: cu.Dataset("x", Y), "must be an array"),
    "owners in words": (lambda: cu.Dataset(X, Y, Y.astype(str)), "owners of .* must be whole numbers"),
    "fewer owners": (lambda: cu.Dataset(X, Y, Y[:4]), "one row per example"),
}
DOORS = {
    "evaluate": lambda data: cu.evaluate(RUN, [1, 2], cu.Retrain().forget(RUN, None, [1, 2], KEY), test=data),
    "evaluate, attacked": lambda data: cu.evaluate(
        RUN, [1, 2], cu.Retrain().forget(RUN, None, [1, 2], KEY), test=data, key=KEY, shadows=4
    ),
    "compare": lambda data: cu.compare(RUN, {"r": [1, 2]}, KEY, test=data, methods={"newton": cu.Newton()}),
    "loss_changes": lambda data: cu.loss_changes(RUN, data),
    "influential": lambda data: cu.requests.influential(RUN, 3, data),
    "leave_one_out": lambda data: cu.leave_one_out(RUN, cu.HessianFree(), [1, 2, 3], KEY, data=data),
    "canaries": lambda data: cu.audit_canaries(RUN, cu.Retrain(), cu.Budget(epsilon=1.0, delta=1e-5), data, KEY),
}
EVERYWHERE = ["NaN", "labels the model has not", "labels of shape [n, 1]", "fewer features", "a tuple"]


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_test_set_is_refused_in_a_sentence(kind):
    make, sentence = WRONG[kind]
    with pytest.raises(cu.BadInput, match=sentence) as error:
        RUN.problem.admit(make())
    assert "\n" not in str(error.value) and len(str(error.value)) < 250


@pytest.mark.parametrize("kind", EVERYWHERE)
@pytest.mark.parametrize("door", DOORS)
def test_every_door_refuses_it(door, kind):
    make, sentence = WRONG[kind]
    with pytest.raises(cu.BadInput, match=sentence):
        DOORS[door](make())


@pytest.mark.parametrize(
    "kind", ["NaN", "infinity", "no rows", "fewer labels", "sparse", "objects", "words", "complex"]
)
def test_wrong_training_data_are_refused(kind):
    make, sentence = WRONG[kind]
    with pytest.raises(cu.BadInput, match=sentence):
        cu.classification(cu.models.Linear(classes=3), make())
    with pytest.raises(cu.BadInput, match=sentence):
        cu.train(replace(RUN.problem, data=make()), cu.Recipe(), KEY)
    if kind != "no rows":
        with pytest.raises(cu.BadInput, match=sentence):
            cu.Features.random(cu.models.MLP(classes=3), KEY, (4,))(make())


def test_admitted_data_have_the_dtypes_of_training():
    admitted = RUN.problem.admit(cu.Dataset(X.astype(np.float16), Y.astype(np.uint8), Y))
    assert admitted.x.dtype == RUN.problem.data.x.dtype and admitted.y.dtype == RUN.problem.data.y.dtype
    assert isinstance(admitted.x, jax.Array)
    whole = RUN.problem.admit(cu.Dataset(np.ones((5, 4), int), Y[:5]))
    assert whole.x.dtype == RUN.problem.data.x.dtype


@pytest.fixture
def in_32_bits():
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", True)


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2**40])
def test_whole_numbers_that_jax_would_cut_are_refused(in_32_bits, value):
    ids = np.zeros((30, 4), np.int64)
    ids[7, 2] = value
    with pytest.raises(cu.BadInput, match="cut to 32 bits"):
        cu.Dataset(ids, Y).check()
    with pytest.raises(cu.BadInput, match="cut to 32 bits"):
        cu.Dataset(X, np.where(np.arange(30) == 3, value, Y)).check()
    jax.config.update("jax_enable_x64", True)
    cu.Dataset(ids, Y).check()


@pytest.mark.parametrize(
    "column",
    [
        1.7e9 + np.arange(30),
        1e7 + np.arange(30) / 100,
        -(2.0**25) - np.arange(30),
        np.arange(30) * 1e-9 + 1,
        1e12 + X[:, 0],
    ],
    ids=["seconds", "cents", "negative", "near 1", "offset"],
)
def test_different_values_that_become_equal_in_32_bits_are_warned_of(in_32_bits, column):
    x = X.copy()
    x[:, 2] = column
    with pytest.warns(UserWarning, match="different numbers of column 2 of x of the data become equal"):
        cu.Dataset(x, Y).check()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cu.Dataset(x.astype(np.float32), Y).check()
        cu.Dataset(np.random.default_rng(0).normal(size=(3000, 3)), np.zeros(3000, int)).check()


def test_images_of_whole_numbers_to_255_are_warned_of():
    images = np.random.default_rng(0).integers(0, 256, size=(30, 4, 4, 1), dtype=np.uint8)
    with pytest.warns(UserWarning, match="divide by 255"):
        cu.Dataset(images, Y).check()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cu.Dataset(images > 100, Y).check()
        cu.Dataset(images.reshape(30, -1) // 8, Y).check()  # a table of small numbers
    with pytest.warns(UserWarning, match="divide by 255"):
        cu.Dataset(images.reshape(30, -1), Y).check()


def test_a_name_stands_in_the_sentence():
    with pytest.raises(cu.BadInput, match="the canaries must be a Dataset"):
        RUN.problem.admit(X, "the canaries")


def test_bits_as_floating_point_numbers_are_admitted_as_the_training_data_were():
    x, bits = np.random.default_rng(0).normal(size=(20, 4)), (np.arange(20) % 2).astype(np.float32)
    data = cu.Dataset(x, bits)
    run = cu.train(cu.binary(cu.models.Linear(classes=1), data), cu.Recipe(epochs=1), KEY)
    assert run.problem.admit(data).y.dtype == run.problem.data.y.dtype
    with pytest.raises(cu.BadInput, match="y of the test set is float32"):
        run.problem.admit(cu.Dataset(x, bits + 0.25))


def test_labels_of_a_problem_whose_classes_are_unknown_are_admitted():
    losses = lambda params, batch: (batch.x @ params["w"])[jnp.arange(len(batch.y)), batch.y]  # noqa: E731
    problem = cu.Problem(lambda key: {"w": jnp.zeros((4, 3))}, losses, cu.Dataset(np.ones((6, 4)), np.arange(6) % 3))
    problem = replace(problem, kind="classification")
    assert len(problem.admit(problem.data)) == 6
    with pytest.raises(cu.BadInput, match="predicts whole numbers from 0"):
        problem.admit(cu.Dataset(np.ones((6, 4)), np.arange(6) % 3 - 1))


def test_a_batch_of_numpy_data_is_taken_inside_a_compiled_program():
    problem = cu.Problem(lambda key: {}, lambda params, batch: batch.y, cu.Dataset(np.eye(4), np.arange(4.0)))
    assert jax.jit(lambda i: problem.batch(i).y)(jnp.array([2, 0])).tolist() == [2, 0]
    assert problem.data[[3, 1]].y.tolist() == [3, 1]


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
