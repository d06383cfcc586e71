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
