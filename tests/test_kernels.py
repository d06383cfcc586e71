"""Losses with the kernel of each product on the left: the same numbers, in the order in which blocks are stored."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import certunl as cu
from certunl.training import sensitivity
from certunl.training.ensemble import _together
from certunl.training.kernels import kernels_first

X = np.random.default_rng(0).normal(size=(12, 5))
DATA = cu.Dataset(jnp.asarray(X), jnp.arange(12, dtype=jnp.int32) % 3)


def init(key):
    first, second = jax.random.split(key)
    return {
        "a": {"kernel": jax.random.normal(first, (5, 4)), "bias": jnp.zeros(4)},
        "b": {"kernel": jax.random.normal(second, (4, 3)), "bias": jnp.zeros(3)},
    }


def cross_entropy(logits, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1)[:, 0]


def batched(params, batch):
    hidden = jax.nn.softplus(batch.x @ params["a"]["kernel"] + params["a"]["bias"])
    return cross_entropy(hidden @ (0.5 * params["b"]["kernel"]) + params["b"]["bias"], batch.y)


def one_by_one(params, batch):
    layer = jax.jit(lambda x, p: x @ p["kernel"] + p["bias"])

    def loss(x, y):
        return -jax.nn.log_softmax(layer(jnp.tanh(layer(x, params["a"])), params["b"]))[y]

    return jax.vmap(loss)(batch.x, batch.y)


def mapped(params, batch):
    """The same losses by a scan over single examples, of which each layer is a checkpoint."""

    @jax.checkpoint
    def layer(x, p):
        return x @ p["kernel"] + p["bias"]

    def loss(example):
        x, y = example
        return -jax.nn.log_softmax(layer(jnp.tanh(layer(x, params["a"])), params["b"]))[y]

    return jax.lax.map(loss, (batch.x, batch.y))


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        settings = {"dtype": jnp.float64, "param_dtype": jnp.float64}
        return nn.Dense(3, **settings)(nn.softplus(nn.Dense(4, **settings)(x)))


def problems():
    by_hand = [
        cu.Problem(init=init, losses=losses, data=DATA)
        for losses in (batched, one_by_one, jax.checkpoint(batched), mapped)
    ]
    return [*by_hand, cu.classification(Net(), DATA)]


def products(program):
    """(left, right) ranks by name of every product in `program` and the programs that it calls: a kernel has rank 2."""
    found = []
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            found.append(tuple(v.aval.shape for v in equation.invars))
        elif "jaxpr" in equation.params:
            found += products(getattr(equation.params["jaxpr"], "jaxpr", equation.params["jaxpr"]))
    return found


@pytest.mark.parametrize("problem", problems(), ids=["batched", "one by one", "checkpoint", "scan", "flax"])
def test_the_numbers_are_those_of_the_losses_and_every_kernel_stands_on_the_left(problem, request):
    params = problem.init(jax.random.key(0))
    other = kernels_first(problem)
    weights = jnp.linspace(0, 1, 12)
    for function in (lambda p: p.risk, lambda p: jax.grad(p.risk), lambda p: jax.hessian(p.risk)):
        expected, values = (jax.jit(function(p))(params, DATA, weights) for p in (problem, other))
        for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(values), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    shapes = products(jax.make_jaxpr(other.per_example)(params, DATA).jaxpr)
    if "scan" in request.node.callspec.id and jax.__version_info__ > (0, 11):
        return  # whose scans stay as they are
    assert [left for left, _ in shapes] == [(5, 4), (4, 3)]
    assert [right for _, right in products(jax.make_jaxpr(problem.per_example)(params, DATA).jaxpr)] == [(5, 4), (4, 3)]


def test_rows_of_a_loss_written_by_the_user_are_those_of_the_library_s_model():
    model = cu.models.MLP(hidden=(4,), classes=3, dtype=jnp.float64)
    ours = cu.classification(model, DATA)

    def losses(params, batch):
        (a, b), x = (params[f"Dense_{i}"] for i in range(2)), batch.x
        return cross_entropy(jax.nn.softplus(x @ a["kernel"] + a["bias"]) @ b["kernel"] + b["bias"], batch.y)

    recipe = cu.Recipe(learning_rate=0.1, epochs=3, batch_size=4)
    run = cu.train(ours, recipe, jax.random.key(0))
    own = cu.fit(replace(cu.Problem(init=ours.init, losses=losses, data=DATA)), recipe, run.start, run.schedule)
    for a, b in zip(*(jax.tree.leaves(cu.HessianFree().prepare(r).rows) for r in (run, own)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


def test_rows_and_ensembles_are_computed_with_the_kernel_on_the_left():
    problem = cu.Problem(init=init, losses=batched, data=DATA)
    run = cu.train(problem, cu.Recipe(learning_rate=0.1, epochs=1, batch_size=4), jax.random.key(0))
    ids, everyone = jnp.arange(12, dtype=jnp.int32), jnp.ones((3, 12), bool)
    for program in (
        jax.make_jaxpr(sensitivity.block)(run, ids, ids[:7]),
        jax.make_jaxpr(lambda r, p: _together(r, p, None, None, False))(run, everyone),
    ):
        forward = [(left, right) for left, right in products(program.jaxpr) if (5, 4) in (left[-2:], right[-2:])]
        assert forward and not any(right[-2:] == (5, 4) and left[-1] == 5 for left, right in forward), forward


def test_losses_without_such_a_product_are_left_alone():
    def losses(params, batch):
        return jnp.sum((batch.x - params["mean"]) ** 2, axis=1) + (params["w"].T @ batch.x.T)[0]

    problem = cu.Problem(init=lambda key: {"mean": jnp.zeros(5), "w": jnp.ones((5, 1))}, losses=losses, data=DATA)
    params = problem.init(jax.random.key(0))
    programs = [str(jax.make_jaxpr(p.per_example)(params, DATA)) for p in (problem, kernels_first(problem))]
    assert programs[0] == programs[1]


def test_random_losses_keep_their_randomness():
    def losses(params, batch):
        noise = jax.vmap(lambda key: jax.random.normal(key, (5,)))(batch.keys)
        return cross_entropy((batch.x + noise) @ params["a"]["kernel"], batch.y)

    problem = cu.Problem(init=init, losses=losses, data=DATA, randomness=7)
    batch = problem.batch(jnp.arange(12), jnp.asarray(3))
    params = problem.init(jax.random.key(0))
    np.testing.assert_allclose(*(p.per_example(params, batch) for p in (problem, kernels_first(problem))), rtol=1e-12)
