"""Modules of NNX, Equinox and Haiku: the same numbers as in their own library, dropout, and what is refused."""

import equinox
import haiku
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import certunl as cu
from certunl.training.adapters import adapter_of, check_model
from tests.cases import KEY, classes, gap, trained

X = jax.random.normal(KEY, (5, 4))
RNGS = {"params": KEY, "dropout": KEY}


class Equi(equinox.Module):
    layers: list
    dropout: equinox.nn.Dropout

    def __init__(self, hidden=6, *, key):
        first, last = jax.random.split(key)
        build = equinox.nn.Linear
        self.layers = [build(4, hidden, key=first), linen.softplus, build(hidden, 3, key=last)]
        self.dropout = equinox.nn.Dropout(0.5)

    def __call__(self, x, key=None):
        return self.layers[2](self.dropout(self.layers[1](self.layers[0](x)), key=key))


class Nested(nnx.Module):
    def __init__(self, rngs):
        sizes = ((4, 6), (6, 3))
        self.layers = nnx.List([nnx.Linear(a, b, param_dtype=jnp.float64, rngs=rngs) for a, b in sizes])
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.layers[1](self.dropout(linen.softplus(self.layers[0](x))))


def in_float64(build):
    """Equinox takes the dtype of its arrays from x64 alone, as the tests set it."""
    return cu.models.Equinox(lambda key: build(key=key))


def test_an_equinox_module_gives_its_own_outputs_and_trains_like_its_linen_twin():
    model, module = in_float64(Equi), Equi(key=KEY)
    variables = model.init(KEY, X)
    assert sorted(variables["params"]["layers"]) == ["0", "2"]
    own = jax.vmap(equinox.nn.inference_mode(module))(X)
    np.testing.assert_array_equal(model.apply(variables, X), own)
    run = trained(cu.classification(model, classes()))
    start = {
        f"Dense_{i}": {"kernel": layer["weight"].T, "bias": layer["bias"]}
        for i, layer in enumerate(run.start["layers"].values())
    }
    linen_problem = cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), classes())
    twin = cu.fit(linen_problem, run.recipe, start, run.schedule)
    np.testing.assert_allclose(
        run.params["layers"]["2"]["weight"], twin.params["Dense_1"]["kernel"].T, rtol=1e-10, atol=1e-12
    )
    update = cu.HessianFree().forget(run, None, [3], KEY)
    assert gap(update.params, cu.Retrain().forget(run, None, [3], KEY).params) < 0.01


@pytest.mark.parametrize("model", [in_float64(Equi), cu.models.NNX(lambda rngs: Nested(rngs))])
def test_dropout_is_on_with_keys_and_off_without(model):
    variables = model.init(KEY, X)
    plain, random = model.apply(variables, X), model.apply(variables, X, rngs=RNGS)
    np.testing.assert_array_equal(plain, model.apply(variables, X))
    np.testing.assert_array_equal(random, model.apply(variables, X, rngs=RNGS))
    assert not np.isclose(plain, random).any()
    other = model.apply(variables, X, rngs={"dropout": jax.random.key(1)})
    assert not np.isclose(other, random).all()


def test_nnx_places_in_a_list_have_words_for_keys_as_files_keep_them():
    model = cu.models.NNX(lambda rngs: Nested(rngs))
    variables = model.init(KEY, X)
    assert list(variables["params"]["layers"]) == ["0", "1"]
    module = Nested(nnx.Rngs(KEY))
    module.eval()
    np.testing.assert_array_equal(model.apply(variables, X), module(X))


class Asked(linen.Module):
    @linen.compact
    def __call__(self, x, shift=0.0):
        return linen.Dense(3)(x) + shift


def asked(library):
    """A model of a module that takes a keyword argument."""
    if library == "frozen":
        return cu.models.Frozen(Asked(), {})
    if library == "nnx":

        class Mine(nnx.Module):
            def __init__(self, rngs):
                self.layer = nnx.Linear(4, 3, rngs=rngs)

            def __call__(self, x, shift=0.0):
                return self.layer(x) + shift

        return cu.models.NNX(lambda rngs: Mine(rngs))

    class Other(equinox.Module):
        layer: equinox.nn.Linear

        def __call__(self, x, shift=0.0):
            return self.layer(x) + shift

    return cu.models.Equinox(lambda key: Other(equinox.nn.Linear(4, 3, key=key)))


@pytest.mark.parametrize("library", ["nnx", "equinox", "frozen"])
def test_keyword_arguments_reach_the_module(library):
    model = asked(library)
    params = Asked().init(KEY, X) if library == "frozen" else model.init(KEY, X)
    np.testing.assert_allclose(model.apply(params, X, shift=2.0) - model.apply(params, X), 2.0, rtol=1e-6)


class Counter(equinox.Module):
    layer: equinox.nn.Linear
    count: jax.Array

    def __init__(self, key):
        self.layer, self.count = equinox.nn.Linear(4, 3, key=key), jnp.zeros(3, int)

    def __call__(self, x):
        return self.layer(x)


class Scaled(equinox.Module):
    layer: equinox.nn.Linear
    scale: np.ndarray

    def __init__(self, key):
        self.layer, self.scale = equinox.nn.Linear(4, 3, key=key), np.array([1.0, 2.0, 3.0])

    def __call__(self, x):
        return self.layer(x) * self.scale


def test_numpy_arrays_of_an_equinox_module_are_constants():
    problem = cu.classification(in_float64(Scaled), classes())
    params = problem.init(KEY)
    assert set(params) == {"layer"}
    module = Scaled(jax.random.key(0))
    module = equinox.tree_at(
        lambda m: (m.layer.weight, m.layer.bias), module, tuple(params["layer"][n] for n in ("weight", "bias"))
    )
    np.testing.assert_allclose(problem.outputs(params, classes().x), jax.vmap(module)(classes().x), rtol=1e-12)


def test_equinox_modules_with_other_arrays_are_refused():
    with pytest.raises(cu.BadInput, match=r"besides its parameters \(int64\)"):
        cu.classification(in_float64(Counter), classes())
    with pytest.raises(cu.BadInput, match=r"equinox\.Module, got a PjitFunction"):
        cu.classification(cu.models.Equinox(lambda key: jnp.tanh), classes())
    with pytest.raises(cu.BadInput, match=r"flax\.nnx\.Module, got a PjitFunction"):
        cu.classification(cu.models.NNX(lambda rngs: jnp.tanh), classes())


def test_a_haiku_network_is_a_problem_and_hessian_free_is_near_retraining():
    network = haiku.without_apply_rng(haiku.transform(lambda x: haiku.nets.MLP([6, 3], activation=linen.softplus)(x)))
    data = classes()

    def losses(params, batch):
        outputs = network.apply(params, batch.x)
        return jax.nn.logsumexp(outputs, axis=1) - outputs[jnp.arange(len(batch)), batch.y]

    run = trained(cu.Problem(init=lambda key: network.init(key, data.x[:1]), losses=losses, data=data))
    update = cu.HessianFree().forget(run, None, [3], KEY)
    truth = cu.Retrain().forget(run, None, [3], KEY).params
    assert gap(update.params, truth) < 0.1 * gap(run.params, truth)


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (Nested, "models.NNX(lambda rngs: Nested("),
        (Nested(nnx.Rngs(0)), "models.NNX(lambda rngs: Nested("),
        (Equi(key=KEY), "models.Equinox(lambda key: Equi("),
        (haiku.transform(lambda x: x), "Problem(init"),
    ],
)
def test_a_bare_module_is_refused_with_its_adapter(thing, words):
    assert words in (adapter_of(thing) or "")
    with pytest.raises(cu.BadInput, match="bare module"):
        check_model(thing)


def test_a_class_and_another_object_are_refused_and_models_are_not():
    with pytest.raises(cu.BadInput, match=r"is the class Dense and not an instance; use Dense\(\.\.\.\)"):
        check_model(linen.Dense)
    with pytest.raises(cu.BadInput, match="got a int"):
        check_model(3)
    for model in (linen.Dense(3), cu.models.MLP(), in_float64(Equi), cu.models.Frozen(Asked(), {})):
        assert adapter_of(model) is None
        check_model(model)
