"""Losses whose layers are computed again in the backward pass: the same numbers."""

import jax.numpy as jnp
import pytest
from flax import linen as nn

import certunl as cu
from tests.cases import KEY, classes, gap, trained


class Deep(nn.Module):
    """Hidden layers, each computed again in the backward pass if `again`. The parameters have the same names."""

    again: bool
    depth: int = 3
    width: int = 5
    dtype: type = jnp.float64

    @nn.compact
    def __call__(self, x):
        layer = nn.remat(Layer) if self.again else Layer
        for number in range(self.depth):
            x = layer(self.width, self.dtype, name=f"layer_{number}")(x)
        return nn.Dense(3, dtype=self.dtype, param_dtype=self.dtype, name="head")(x)


class Layer(nn.Module):
    width: int
    dtype: type

    @nn.compact
    def __call__(self, x):
        for number in range(4):
            name = f"dense_{number}"
            x = jnp.tanh(nn.Dense(self.width, dtype=self.dtype, param_dtype=self.dtype, name=name)(x))
        return x


@pytest.fixture(scope="module")
def runs():
    kept, again = (trained(cu.classification(Deep(a), classes()), weight_decay=0.05) for a in (False, True))
    assert gap(again.params, kept.params) < 1e-12
    return kept, again


@pytest.mark.parametrize(
    "method",
    [
        *(cu.HessianFree(form=form) for form in ("first_order", "retained", "reference")),
        cu.HessianFree(gather=cu.Backward()),
        *(cu.Newton(operator=operator, damping=1.0, solver=cu.CG(tol=1e-12)) for operator in ("hessian", "ggn")),
        cu.Retrain(),
    ],
    ids=["rows", "retained", "reference", "backward", "hessian", "ggn", "retrain"],
)
def test_layers_that_are_computed_again_change_no_number(method, runs):
    updates = [method.forget(run, method.prepare(run), [3, 7], KEY).params for run in runs]
    assert gap(updates[0], runs[0].params) > 1e-6
    assert gap(*updates) < 1e-9
