"""Parameters of 16 bits: small matrices and sums are computed in float32, and the update keeps the dtype."""

import jax
import numpy as np
import pytest

import certunl as cu
from tests.cases import KEY, vector

SOLVERS = {"cg": cu.CG(), "dense": cu.Dense(), "lissa": cu.LiSSA(depth=50, repeats=4)}


def run(dtype: str, like: cu.Run | None = None) -> cu.Run:
    rng = np.random.default_rng(0)
    data = cu.Dataset(rng.normal(size=(40, 4)).astype(np.float32), rng.integers(0, 3, 40))
    model = cu.models.MLP(hidden=(4,), classes=3, dtype=dtype)
    problem, recipe = cu.classification(model, data), cu.Recipe(epochs=4, batch_size=20, learning_rate=0.1)
    if like is None:
        return cu.train(problem, recipe, KEY)
    return cu.fit(problem, recipe, jax.tree.map(lambda leaf: leaf.astype(dtype), like.start), like.schedule)


@pytest.fixture(scope="module")
def single():
    with jax.enable_x64(False):
        return run("float32")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_newton_s_step_is_that_of_float32_as_far_as_the_dtype_allows(solver, dtype, single):
    with jax.enable_x64(False):
        half = run(dtype, single)
        newton = cu.Newton(operator="ggn", damping=0.5, solver=SOLVERS[solver])
        updates = [newton.forget(one, None, [1, 2, 3], KEY) for one in (half, single)]
        assert {str(leaf.dtype) for leaf in jax.tree.leaves(updates[0].params)} == {dtype}
        steps = [
            vector(update.params) - vector(one.params) for update, one in zip(updates, (half, single), strict=True)
        ]
    # rounding the parameters alone moves each by up to 2^-9 (bfloat16) or 2^-12 of itself
    rounding = {"bfloat16": 2**-8, "float16": 2**-11}[dtype] * np.linalg.norm(vector(single.params))
    noise = 0.3 * np.linalg.norm(steps[1]) if solver == "lissa" else 0.1 * np.linalg.norm(steps[1])
    assert np.linalg.norm(steps[0] - steps[1]) < 2 * rounding + noise


@pytest.mark.parametrize(
    "method", [cu.HessianFree(), cu.NewtonStep(), cu.FisherForgetting(), cu.LCODEC(), cu.Jackknife()]
)
def test_other_methods_give_an_update_or_a_sentence(method):
    with jax.enable_x64(False):
        half = run("bfloat16")
        try:
            update = method.forget(half, method.prepare(half), [1, 2], KEY)
        except (cu.BadInput, cu.Diverged):
            return
        assert {str(leaf.dtype) for leaf in jax.tree.leaves(update.params)} == {"bfloat16"}
