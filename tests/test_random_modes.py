"""Dropout reaches the module inside every adapter, and randomness without an effect is warned of."""

from dataclasses import replace

import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

import certunl as cu
from tests.cases import KEY, classes, gap


class Twin(nnx.Module):
    def __init__(self, rngs):
        self.inner, self.outer = nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x, train):
        return self.outer(self.dropout(nnx.tanh(self.inner(x)), deterministic=not train))


class Listed(nn.Module):
    sizes: list

    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=not train)(nn.tanh(nn.Dense(self.sizes[0])(x))))


class Normed(nn.Module):
    @nn.compact
    def __call__(self, x, train, deterministic):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(8)(x))
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=deterministic)(nn.tanh(x)))


def fixed(module):
    variables = module.init(KEY, classes().x, train=False, deterministic=True)
    return cu.models.Frozen(module, variables["batch_stats"])


@pytest.mark.parametrize(
    "model", [Listed([8]), cu.models.NNX(lambda rngs: Twin(rngs)), fixed(Normed())], ids=["list", "nnx", "frozen"]
)
def test_the_mode_reaches_the_module_inside_every_adapter(model):
    data = classes()
    data = replace(data, x=np.asarray(data.x, np.float32))
    dropped, plain = (
        cu.train(cu.classification(model, data, randomness=seed), cu.Recipe(epochs=1, batch_size=10), KEY)
        for seed in (0, None)
    )
    assert gap(dropped.params, plain.params) > 1e-3


def test_randomness_without_any_effect_is_warned_of():
    with pytest.warns(UserWarning, match="randomness is set, but the model's outputs in training are those of predict"):
        cu.classification(cu.models.MLP(hidden=(4,), classes=3), classes(), randomness=0)
