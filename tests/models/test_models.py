"""Parameter counts of the papers, one convolution however lowered, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

import certunl as cu
from certunl.models._layers import Conv, GroupNorm, Norm, pool
from tests.cases import KEY, classes, trained

SHAPES = {"linear": (28, 28, 1), "mlp": (28, 28, 1), "cnn": (28, 28, 1)}


def count(model, shape):
    params = jax.eval_shape(model.init, KEY, jnp.zeros((1, *shape)))["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("model", "parameters"),
    [(cu.models.Linear(), 7850), (cu.models.MLP(), 26_506), (cu.models.CNN(), 21_840), (cu.models.LeNet5(), 61_706)],
)
def test_parameter_counts_are_the_papers(model, parameters):
    assert count(model, (28, 28, 1)) == parameters


def test_both_lowerings_of_a_convolution_agree(monkeypatch):
    conv, x = Conv(3, 5, dtype=jnp.float64), jax.random.normal(KEY, (2, 9, 8, 4))
    variables = conv.init(KEY, x)
    shifted = conv.apply(variables, x)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    np.testing.assert_allclose(conv.apply(variables, x), shifted, rtol=1e-12, atol=1e-12)
    reference = nn.Conv(3, (5, 5), padding="VALID", dtype=jnp.float64).apply(variables, x)
    np.testing.assert_allclose(reference, shifted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_pooling_is_flax_pooling(pooling):

    x = jax.random.normal(KEY, (2, 6, 4, 3))
    expected = (nn.avg_pool if pooling == "average" else nn.max_pool)(x, (2, 2), (2, 2))
    np.testing.assert_allclose(pool(pooling, x), expected, rtol=1e-12)
    with pytest.raises(cu.BadInput, match="even height"):
        pool(pooling, x[:, :5])


def test_unknown_activations_and_poolings_are_refused_with_the_known_ones():
    with pytest.raises(cu.BadInput, match="softplus"):
        cu.classification(cu.models.MLP(activation="swash", classes=3), classes())
    images = cu.Dataset(np.zeros((4, 28, 28, 1)), np.arange(4))
    with pytest.raises(cu.BadInput, match="average, max"):
        cu.classification(cu.models.CNN(pooling="min"), images)


class Normed(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.BatchNorm(use_running_average=False)(x))


def test_linen_modules_of_the_users_own_work_unless_they_keep_state():
    run = trained(cu.classification(nn.Sequential([nn.Dense(5), nn.tanh, nn.Dense(3)]), classes()))
    assert np.isfinite(float(run.problem.scores(run.params, run.problem.data).losses.sum()))
    with pytest.raises(cu.BadInput, match="GroupNorm"):
        cu.classification(Normed(), classes())


class Twin(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(4, 6, param_dtype=jnp.float64, rngs=rngs)
        self.last = nnx.Linear(6, 3, param_dtype=jnp.float64, rngs=rngs)

    def __call__(self, x):
        return self.last(nn.softplus(self.first(x)))


def test_an_nnx_module_trains_forgets_and_equals_its_linen_twin():
    problem = cu.classification(cu.models.NNX(lambda rngs: Twin(rngs)), classes())
    run = trained(problem)
    start = {"Dense_0": run.start["first"], "Dense_1": run.start["last"]}
    linen = cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), classes())
    twin = cu.fit(linen, run.recipe, start, run.schedule)
    np.testing.assert_allclose(run.params["last"]["kernel"], twin.params["Dense_1"]["kernel"], rtol=1e-12)
    correction = cu.HessianFree().prepare(run).correction([3])
    assert jax.tree.structure(correction) == jax.tree.structure(run.params)


class Stateful(nnx.Module):
    def __init__(self, rngs):
        self.norm, self.last = nnx.BatchNorm(4, rngs=rngs), nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        return self.last(self.norm(x))


def test_an_nnx_module_with_state_is_refused():
    with pytest.raises(cu.BadInput, match="BatchStat"):
        cu.classification(cu.models.NNX(lambda rngs: Stateful(rngs)), classes())


@pytest.mark.parametrize(("model", "parameters"), [(cu.models.AllCNN, 1_620_010), (cu.models.ResNet18, 11_171_274)])
def test_the_large_networks_have_the_papers_sizes_with_either_norm(model, parameters):
    assert count(model(), (32, 32, 3)) == count(model(norm="batch"), (32, 32, 3)) == parameters


def test_a_strided_padded_convolution_is_flax_s_however_lowered(monkeypatch):
    for size, padding, channels in ((3, 1, 4), (1, 0, 4), (3, 1, 3), (1, 0, 3)):
        conv, x = Conv(3, size, 2, padding, bias=False, dtype=jnp.float64), jax.random.normal(KEY, (2, 9, 8, channels))
        variables = conv.init(KEY, x)
        borders = [(padding, padding)] * 2
        reference = nn.Conv(3, (size, size), 2, borders, use_bias=False, dtype=jnp.float64).apply(variables, x)
        np.testing.assert_allclose(conv.apply(variables, x), reference, rtol=1e-12, atol=1e-12)
        with monkeypatch.context() as patch:
            patch.setattr(jax, "default_backend", lambda: "gpu")
            np.testing.assert_allclose(conv.apply(variables, x), reference, rtol=1e-12, atol=1e-12)


def test_group_norm_is_flax_s():
    norm, x = GroupNorm(groups=2, dtype=jnp.float32), jax.random.normal(KEY, (3, 4, 5, 6), jnp.float32)
    params = {"params": {"scale": jnp.arange(6.0, dtype="float32"), "bias": jnp.ones(6, "float32")}}
    reference = nn.GroupNorm(num_groups=2, epsilon=1e-5).apply(params, x)
    np.testing.assert_allclose(norm.apply(params, x), reference, rtol=1e-4, atol=1e-5)
    with pytest.raises(cu.BadInput, match="4 groups divide"):
        GroupNorm(groups=4).init(KEY, x)


class Frozenable(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        return nn.Dense(3, param_dtype=jnp.float64)(nn.softplus(Norm("batch", jnp.float64)(x, train)))


def test_batch_norm_is_refused_until_it_is_frozen_and_then_named_on_the_certificate():
    module, data = Frozenable(), classes()
    with pytest.raises(cu.BadInput, match=r"GroupNorm.*Frozen"):
        cu.classification(module, data)
    model = cu.models.Frozen(module, module.init(KEY, data.x)["batch_stats"])
    run = trained(cu.classification(model, data), epochs=1, radius=40.0)
    release = cu.certify(cu.Retrain().forget(run, None, [1], KEY), cu.Budget(epsilon=1.0, delta=1e-5))
    assert "8 frozen BatchNorm statistics" in str(release.certificate)
    assert release.certificate.verdict == "CONDITIONAL"  # exact retraining, but for the statistics
    with pytest.raises(cu.BadInput, match="do not belong"):
        cu.classification(cu.models.Frozen(module, {"stray": np.zeros(3)}), data)
    with pytest.raises(cu.BadInput, match="norm must be"):
        cu.classification(cu.models.AllCNN(norm="layer"), cu.Dataset(np.zeros((3, 8, 8, 3)), np.arange(3)))


def test_measured_statistics_are_those_of_one_pass():
    module, x = Frozenable(), 3000 * classes().x
    variables = module.init(KEY, x)
    frozen = cu.models.Frozen.measured(module, variables["params"], x)
    statistics = frozen.statistics["Norm_0"]["BatchNorm_0"]
    np.testing.assert_allclose(statistics["mean"], x.mean(0), rtol=1e-10)
    np.testing.assert_allclose(statistics["var"], x.var(0), rtol=1e-10)
    passed = module.apply(variables, x, train=True, mutable=["batch_stats"])[0]
    np.testing.assert_allclose(frozen.apply({"params": variables["params"]}, x), passed, rtol=1e-10)
    with pytest.raises(cu.BadInput, match="no BatchNorm"):
        cu.models.Frozen.measured(nn.Dense(3), {}, x)


@pytest.mark.parametrize("channels", [1, 6])
def test_a_convolution_of_averages_is_the_average_of_a_convolution(channels):
    x = jax.random.normal(jax.random.key(0), (3, 12, 10, channels))
    plain, averaged = (Conv(7, 5, dtype=jnp.float64, averaged=flag) for flag in (False, True))
    variables = plain.init(jax.random.key(1), x)
    assert jax.tree.map(jnp.shape, averaged.init(jax.random.key(1), x)) == jax.tree.map(jnp.shape, variables)
    expected = pool("average", plain.apply(variables, x))
    np.testing.assert_allclose(averaged.apply(variables, x), expected, rtol=1e-12, atol=1e-13)
    with pytest.raises(cu.BadInput, match="even height"):
        averaged.init(jax.random.key(1), x[:, 1:])


def test_lenet5_refuses_a_table():
    with pytest.raises(cu.BadInput, match=r"LeNet-5 needs images \[n, h, w, c\], got inputs of shape \[2, 30\]"):
        cu.models.LeNet5().init(KEY, jnp.zeros((2, 30)))
