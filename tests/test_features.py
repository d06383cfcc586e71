"""Frozen features: the network's own, one example at a time, and what a certificate on them says."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

import certunl as cu
from certunl.timing import Stopwatch
from tests.cases import KEY, classes, network, ridge, trained

SHAPES = {"cnn": (28, 28, 1), "allcnn": (8, 8, 3), "resnet18": (8, 8, 3)}
SMALL = {"allcnn": {"width": 32}, "resnet18": {"width": 32}, "linear": {"bound": 1.0}}
BUDGET = cu.Budget(epsilon=1.0, delta=1e-5, distance=0.5)
HEAD = cu.models.Linear(classes=3, bound=1.0, dtype=jnp.float64)
GIVEN = "was made without the forgotten examples"


def begun(problem):
    """A run before its first step."""
    start = problem.init(KEY)
    schedule = cu.Schedule(np.zeros((1, 1), np.int32), np.ones((1, 1)), np.full(1, 0.1))
    return cu.Run(problem, cu.Recipe(), start, schedule, start, jnp.ones(len(problem.data), bool))


@pytest.mark.parametrize("name", ["linear", "mlp", "cnn", "allcnn", "resnet18"])
def test_the_last_layer_on_the_features_is_the_network(name):
    model = cu.registry.build("models", name, classes=3, dtype=jnp.float64, **SMALL.get(name, {}))
    x = np.random.default_rng(0).normal(size=(3, *SHAPES.get(name, (5,))))
    problem = cu.classification(model, cu.Dataset(x, np.array([0, 1, 2])))
    run = begun(replace(problem, init=jax.jit(problem.init)))
    extractor = cu.Features.of(run)
    both = jax.jit(lambda params, x: (extractor.apply(params, x), problem.losses.predict(params, x)))
    features, outputs = both(run.params, x)
    last = run.params[max(layer for layer in run.params if layer.startswith("Dense"))]
    np.testing.assert_allclose(features @ last["kernel"] + last["bias"], outputs, rtol=1e-10, atol=1e-10)


def test_a_module_of_the_users_own_ends_with_a_dense_layer_or_is_refused():
    run = begun(cu.classification(nn.Sequential([nn.Dense(5), nn.tanh, nn.Dense(3)]), classes()))
    features = cu.Features.of(run).features(run.problem.data.x)
    first = run.params["layers_0"]
    np.testing.assert_allclose(features, np.tanh(run.problem.data.x @ first["kernel"] + first["bias"]), rtol=1e-5)
    for model in (nn.Sequential([nn.Dense(3), nn.tanh]), cu.models.NNX(lambda rngs: nnx.Linear(4, 3, rngs=rngs))):
        with pytest.raises(cu.BadInput, match=r"does not end with a dense layer.*Features\(apply"):
            cu.Features.of(begun(cu.classification(model, classes())))
    with pytest.raises(cu.BadInput, match=r"classification\(\.\.\.\) or regression"):
        cu.Features.of(begun(ridge()))


def test_data_keep_their_targets_and_owners_and_blocks_agree_with_one_by_one():
    extractor = cu.Features.of(trained(network(hidden=(6,))))
    data = classes(600, seed=1, owners=np.arange(600) // 3)
    made = extractor(data)
    assert made.x.shape == (600, 6) and (made.y == data.y).all() and (made.owners == data.owners).all()
    for i in (0, 255, 256, 599):
        one = extractor.apply(extractor.params, data.x[i : i + 1])
        np.testing.assert_allclose(made.x[i], one[0], rtol=1e-12)
    with Stopwatch() as watch:
        extractor(data[:300])
    assert watch.compilations == 0


def head(extractor, seed=1):
    """A head trained on 200 features, and the certificate of forgetting five of them by descent."""
    problem = cu.classification(HEAD, extractor(classes(200, seed=seed)))
    run = trained(problem, weight_decay=0.05, radius=7.0, epochs=5, batch_size=20)
    method = cu.DescentToDelete(assumed="linear", steps=300, learning_rate=1.0)
    return cu.certify(method.forget(run, None, [1, 2, 3, 4, 5], KEY), BUDGET).certificate


def test_a_head_on_drawn_features_is_proved_to_forget():
    extractor = cu.Features.random(cu.models.MLP(hidden=(40,)), KEY, (4,))
    assert extractor(classes()).unchecked == ()
    certificate = head(extractor)
    assert certificate.verdict == "PROVED" and certificate.bound < 0.01 and certificate.unchecked == ()


def test_a_head_on_learnt_features_is_never_proved_and_the_certificate_says_why():
    run = trained(network(hidden=(8,)))
    certificate = head(cu.Features.of(run))
    assert certificate.verdict == "CONDITIONAL" and certificate.bound < 0.01
    assert "trained on 30 examples, none of them identical to one of these" in str(certificate)
    assert "unchecked      the features' extractor (" in str(certificate) and GIVEN in str(certificate)
    drawn = cu.Features.random(cu.models.MLP(hidden=(8,)), KEY, (4,))
    for given in (
        cu.Features(apply=lambda _, x: x, origin="nothing"),
        replace(drawn, params=begun(cu.classification(cu.models.MLP(hidden=(8,)), classes())).params),
        cu.Features.random(nn.Sequential([nn.Dense(5), nn.tanh, nn.Dense(3)]), KEY, (4,)),
    ):
        assert GIVEN in given(classes(seed=1)).unchecked[0]
    assert head(given).verdict == "CONDITIONAL"
    problem = cu.classification(HEAD, cu.Features.of(run)(classes(200, seed=1)))
    assert cu.certify(cu.Retrain().forget(trained(problem), None, [1], KEY), BUDGET).certificate.account.ratios


def test_what_the_data_and_the_network_left_unchecked_is_handed_on():
    data = replace(classes(), unchecked=("standardised",))
    extractor = cu.Features.of(begun(cu.classification(cu.models.MLP(hidden=(3,), classes=3), data)))
    made = extractor(replace(classes(seed=1), unchecked=("gathered",)))
    assert made.unchecked[:2] == ("gathered", "standardised") and GIVEN in made.unchecked[-1]


def test_drawn_features_come_from_the_key_alone():
    keys = (KEY, KEY, jax.random.key(1))
    one, two, other = (cu.Features.random(cu.models.MLP(), key, (4,)).features(classes().x) for key in keys)
    np.testing.assert_array_equal(one, two)
    assert not np.isclose(one, other).any()


def test_the_extractor_s_own_examples_are_refused():
    run = trained(network(hidden=(8,)))
    both = cu.Dataset(np.concatenate([classes(9, seed=1).x, classes().x[7:9].astype(np.float32)]), np.zeros(11, int))
    with pytest.raises(cu.BadInput, match=r"2 of 11 examples \(first: 9\) are among those"):
        cu.Features.of(run)(both)


@pytest.mark.parametrize(
    ("apply", "sentence"),
    [
        (lambda _, x: jnp.log(x), "features of 28 of 30 examples are not finite"),
        (lambda _, x: x - x.mean(0), "one example at a time"),
        (lambda _, x: x + jnp.arange(len(x))[:, None], "one example at a time"),
        (lambda _, x: x.mean(0), "one vector of real numbers per example"),
        (lambda _, x: jnp.argmax(x, axis=1), "one vector of real numbers per example"),
        (lambda _, x: x @ jnp.ones((5, 2)), r"does not take inputs of shape \[4\]"),
    ],
)
def test_what_is_no_feature_of_one_example_is_refused(apply, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        cu.Features(apply=apply, origin="a test")(classes())
    with pytest.raises(cu.BadInput, match="in words"):
        cu.Features(apply=apply, origin=" ")


def test_inputs_of_another_shape_than_the_extractor_s_are_refused_in_a_sentence_of_the_house():
    for extractor in (
        cu.Features.random(cu.models.MLP(hidden=(5,)), KEY, (4,)),
        cu.Features.of(begun(cu.classification(cu.models.MLP(hidden=(5,), classes=3), classes()))),
    ):
        for x, got in ((np.ones((3, 5)), r"\[5\]"), (np.ones((3, 2, 3)), r"\[2, 3\]")):
            with pytest.raises(cu.BadInput, match=f"does not take inputs of shape {got}: it was made with .* \\[4\\]$"):
                extractor.features(x)
        assert extractor.features(np.ones((3, 2, 2))).shape == (3, 5)  # the network itself takes it
        for x in (np.ones((0, 4)), np.float64(1)):
            with pytest.raises(cu.BadInput, match="at least one; got shape"):
                extractor.features(x)
    for model, shape in ((cu.models.CNN(), (4,)), (cu.models.MLP(), 4), (cu.models.MLP(), (4.5,))):
        with pytest.raises(cu.BadInput, match=f"{type(model).__name__} cannot be drawn for inputs of shape "):
            cu.Features.random(model, KEY, shape)


def test_parameters_written_over_after_they_were_drawn_are_no_longer_drawn():
    extractor = cu.Features.random(cu.models.MLP(hidden=(8,)), KEY, (4,))
    assert extractor(classes()).unchecked == ()
    layer = next(iter(extractor.params.values()))
    layer["kernel"] = 1.01 * layer["kernel"]
    assert "MLP drawn at random" in extractor(classes()).unchecked[0]


def test_trees_of_inputs_get_a_sentence_and_inputs_on_the_host_the_same_features():
    data = classes()
    extractor = cu.Features.random(cu.models.MLP(hidden=(5,), classes=3, dtype="float64"), KEY, (4,), "float64")
    far = extractor(cu.Dataset(cu.OnHost(data.x), data.y))
    np.testing.assert_array_equal(far.x, extractor(data).x)
    with pytest.raises(cu.BadInput, match="inputs that are a single array"):
        extractor(cu.Dataset({"x": data.x}, data.y))
