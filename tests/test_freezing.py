"""Frozen parameters cost no rows, take no noise and do not count in the ball."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import certunl as cu
from certunl.base import width
from tests.cases import KEY, classes, gap, network, trained, vector


class Adapted(nn.Module):
    """A dense layer with an adapter of rank 1 beside it, then a head."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        dense = nn.Dense(5, param_dtype=jnp.float64, name="base")(x)
        a = self.param("lora_a", nn.initializers.normal(0.1), (x.shape[-1], 1), jnp.float64)
        b = self.param("lora_b", nn.initializers.normal(0.1), (1, 5), jnp.float64)
        return nn.Dense(3, param_dtype=jnp.float64, name="head")(jnp.tanh(dense + x @ a @ b))


def head() -> tuple[cu.Problem, Any]:
    problem = network()
    params = problem.init(jax.random.key(3))
    return cu.freeze(problem, params, trainable="Dense_1"), params


def closed_over() -> cu.Problem:
    """The same by hand: a loss of the last layer that holds the others."""
    problem = network()
    base = problem.init(jax.random.key(3))["Dense_0"]
    losses = problem.losses

    def of_head(params, batch):
        return losses({"Dense_0": base, **params}, batch)

    start = {"Dense_1": problem.init(jax.random.key(3))["Dense_1"]}
    return cu.Problem(init=lambda key: start, losses=of_head, data=problem.data)


@pytest.mark.parametrize(
    "method",
    [cu.Retrain(), cu.HessianFree(), cu.HessianFree(gather=cu.Backward()), cu.Newton(damping=0.1), cu.NegGrad()],
    ids=lambda method: type(method).__name__,
)
def test_it_is_the_problem_that_closes_over_the_frozen(method):
    runs = [trained(problem, radius=1.5) for problem in (head()[0], closed_over())]
    updates = [method.forget(run, method.prepare(run), [2, 3], KEY) for run in runs]
    assert gap(runs[0].params, runs[1].params) < 1e-12 and gap(updates[0].params, updates[1].params) < 1e-9
    assert width(updates[0].params) == 6 * 3 + 3


def test_the_frozen_stay_and_the_whole_model_is_there(tmp_path):
    problem, params = head()
    run = trained(problem)
    whole = problem.whole(run.params)
    assert gap(whole["Dense_0"], params["Dense_0"]) == 0 < gap(whole["Dense_1"], params["Dense_1"])
    np.testing.assert_allclose(
        network().scores(whole, run.problem.data).losses, problem.scores(run.params, run.problem.data).losses
    )
    rows = cu.HessianFree().store(run, tmp_path / "rows")
    assert gap(rows.correction([4]), cu.HessianFree().prepare(run).correction([4])) < 1e-12


def test_noise_is_for_the_trained_parameters_alone():
    run = trained(head()[0], radius=2.0)
    update = cu.Newton(damping=0.1).forget(run, None, [1], KEY)
    release = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5, sigma=0.5), cu.secret_key())
    assert release.certificate.dimension == 21 and release.params["Dense_0"]["kernel"] is None
    assert any("frozen" in words for words in release.certificate.unchecked)
    report = cu.evaluate(run, [1], release, test=classes(seed=1), key=KEY, attacks=["lira"], shadows=4)
    assert "test_accuracy" in report.rows["newton"]


def test_everything_else_works_on_the_trained_part():
    run = trained(head()[0])
    for method in (cu.SCRUB(), cu.SalUn(), cu.LCODEC(), cu.NoisyFineTuning(noise=0.1, clip_norm=1.0), cu.Jackknife()):
        try:
            key = cu.secret_key() if method.own_noise else KEY
            update = method.forget(run, method.prepare(run), [2, 3], key)
        except (cu.BadInput, cu.Diverged):
            continue
        assert jax.tree.structure(update.params) == jax.tree.structure(run.params)
    assert cu.loss_changes(run, classes(seed=1)).shape == (30,)
    with pytest.raises(cu.BadInput, match="closed form"):
        linear = cu.classification(cu.models.Linear(classes=3, dtype="float64"), classes())
        part = cu.freeze(linear, linear.init(KEY), trainable="*/kernel")
        cu.CertifiedRemoval().forget(trained(part, weight_decay=0.1), None, [1], KEY)


def test_adapters_that_the_trained_model_lacks_are_drawn():
    problem = cu.classification(Adapted(), classes())
    pretrained = {name: problem.init(KEY)[name] for name in ("base", "head")}
    lora = cu.freeze(problem, pretrained, trainable=("lora_*", "head"))
    starts = [lora.init(jax.random.key(seed)) for seed in (0, 1)]
    assert gap(starts[0]["head"], pretrained["head"]) == 0 < gap(starts[0]["lora_a"], starts[1]["lora_a"])
    run = trained(lora)
    away = cu.HessianFree().forget(run, None, [3], KEY)
    truth = cu.Retrain().forget(run, None, [3], KEY)
    assert gap(away.params, truth.params) < 0.2 * gap(run.params, truth.params)


def test_a_tree_of_bools_and_a_function_name_the_same_parameters():
    problem = network()
    params = problem.init(KEY)
    masks = [
        {"Dense_0": False, "Dense_1": True},
        jax.tree.map(lambda leaf: leaf.shape in ((6, 3), (3,)), params),
        lambda name: name.startswith("Dense_1"),
        ["Dense_1/kernel", "Dense_1/bias"],
    ]
    shapes = [jax.tree.map(jnp.shape, cu.freeze(problem, params, trainable=mask).init(KEY)) for mask in masks]
    assert all(
        shape == {"Dense_0": {"bias": None, "kernel": None}, "Dense_1": shapes[0]["Dense_1"]} for shape in shapes
    )
    assert len({str(shape) for shape in shapes}) == 1


@pytest.mark.parametrize(
    ("trainable", "change", "sentence"),
    [
        ("Dense_7", {}, "fits no parameter; the parameters are Dense_0/bias"),
        ("Dense_*", {}, "some parameters and not all"),
        ((), {}, "some parameters and not all"),
        (lambda name: False, {}, "some parameters and not all"),
        ({"Dense_0": True}, {}, "a tree of bools like the parameters"),
        ({"Dense_0": 1, "Dense_1": 0}, {}, "a tree of bools like the parameters"),
        (3, {}, "a tree of bools like the parameters"),
        (
            "Dense_1",
            {"Dense_0": {"kernel": np.zeros((9, 6)), "bias": np.zeros(6)}},
            r"Dense_0/kernel must have the shape \[4, 6\]",
        ),
        ("Dense_1", {"Dense_0": {"kernel": np.full((4, 6), np.nan), "bias": np.zeros(6)}}, "Dense_0/kernel holds NaN"),
        ("Dense_1", {"Dense_9": {"kernel": np.zeros((9, 6))}}, "params have Dense_9/kernel"),
        ("Dense_1", {"Dense_0": {"kernel": np.zeros((4, 6))}}, "params have no Dense_0/bias"),
    ],
)
def test_wrong_masks_and_parameters_are_refused(trainable, change, sentence):
    problem = network()
    with pytest.raises(cu.BadInput, match=sentence):
        cu.freeze(problem, {**problem.init(KEY), **change}, trainable=trainable)


def test_freezing_twice_is_refused():
    problem, params = head()
    with pytest.raises(cu.BadInput, match="frozen already"):
        cu.freeze(problem, params, trainable="Dense_0")
    assert vector(problem.init(KEY)).size == 21
