"""The sign of an optax transformation is measured on the parameters that it updates."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import certunl as cu
from certunl.training.direction import sign_of, warn_of_two_rates
from tests.cases import KEY, classes, gap, network, trained, vector

PARAMS = {"a": jnp.ones((3, 2)), "b": jnp.ones(2)}
LABELS = {"a": "frozen", "b": "free"}
SGD, ZERO = optax.sgd(1.0), optax.set_to_zero()


@pytest.mark.parametrize(
    "transform",
    [
        optax.sgd(optax.linear_schedule(0.0, 1.0, 5)),
        optax.MultiSteps(SGD, every_k_schedule=3),
        optax.multi_transform({"free": SGD, "frozen": ZERO}, LABELS),
        optax.chain(SGD, optax.masked(ZERO, {"a": True, "b": False})),
        optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.warmup_cosine_decay_schedule(0.0, 1.0, 3, 9))),
        optax.sgd(1.0, momentum=0.9, nesterov=True),
    ],
)
def test_a_complete_optimizer_is_added_and_gives_no_warning(transform):
    assert sign_of(transform, PARAMS) == 1.0
    warn_of_two_rates(transform, PARAMS, [0.1])


@pytest.mark.parametrize("transform", [optax.scale_by_rms(), optax.trace(0.9), optax.scale_by_adam()])
def test_a_direction_is_subtracted(transform):
    assert sign_of(transform, PARAMS) == -1.0


@pytest.mark.parametrize(
    ("transform", "rate"),
    [(optax.sgd(0.1), "0.1"), (optax.adam(1e-3), "0.001"), (optax.adamw(3e-4), "0.0003"), (optax.sgd(0.2, 0.9), "0.2")],
)
def test_a_rate_of_its_own_is_noticed_and_named(transform, rate):
    with pytest.warns(UserWarning, match=f"a learning rate of its own, about {rate},"):
        warn_of_two_rates(transform, PARAMS, [0.1, 0.1])
    assert sign_of(transform, PARAMS) == 1.0
    warn_of_two_rates(transform, PARAMS, [1.0, 1.0])


@pytest.mark.parametrize(
    ("transform", "sentence"),
    [
        (ZERO, "follows no gradient in 10,000 steps"),
        (
            optax.multi_transform({"free": SGD, "frozen": optax.scale_by_adam()}, LABELS),
            "along the gradient and others",
        ),
        (optax.lbfgs(), "does not take these parameters"),
        (optax.masked(SGD, {"c": True}), "does not take these parameters"),
    ],
)
def test_a_transformation_without_a_sign_is_refused(transform, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        sign_of(transform, PARAMS)


def test_a_warm_up_of_a_thousand_steps_is_waited_for():
    assert sign_of(optax.sgd(lambda count: jnp.where(count < 1000, 0.0, 1.0)), PARAMS) == 1.0


FREE = {"Dense_0": "frozen", "Dense_1": "free"}


@pytest.mark.parametrize(
    "transform",
    [
        optax.multi_transform({"free": SGD, "frozen": ZERO}, FREE),
        optax.chain(SGD, optax.masked(ZERO, {"Dense_0": True, "Dense_1": False})),
        optax.sgd(optax.warmup_cosine_decay_schedule(0.0, 1.0, 3, 9)),
        optax.MultiSteps(SGD, every_k_schedule=2, accumulator_dtype=jnp.float64),
        optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1.0, eps_root=1e-8)),
        optax.sgd(1.0, momentum=0.9, nesterov=True),
        optax.adafactor(1.0, min_dim_size_to_factor=2),
    ],
    ids=["multi_transform", "masked", "warm-up", "MultiSteps", "clip, adamw", "nesterov", "adafactor"],
)
def test_rows_are_the_derivative_of_training_by_it(transform):
    run = trained(network(), optimizer=transform, learning_rate=0.02, epochs=2)
    row = vector(cu.HessianFree(units=[4]).prepare(run).rows)
    ends = []
    for weight in (1 - 1e-5, 1 + 1e-5):
        weights = jnp.where(run.schedule.indices == 4, weight, 1.0) * run.schedule.weights
        ends.append(vector(cu.fit(run.problem, run.recipe, run.start, replace(run.schedule, weights=weights)).params))
    np.testing.assert_allclose(row, (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-6 * np.abs(row).max())
    assert np.abs(row).max() > 0 and gap(cu.Retrain().forget(run, None, [4], KEY).params, run.params) > 0


@pytest.mark.parametrize("transform", [optax.lion(1.0), optax.sign_sgd(1.0), optax.scale_by_sign()])
def test_rows_that_are_0_are_warned_of(transform, tmp_path):
    run = trained(network(), optimizer=transform, learning_rate=0.01, epochs=1)
    with pytest.warns(UserWarning, match="are 0 in every number, so forgetting by them changes nothing"):
        cu.HessianFree().forget(run, None, [3], KEY)
    for gather in (cu.rows.Forward(), cu.rows.Backward()):
        with pytest.warns(UserWarning, match="are 0 in every number"):
            prepared = cu.HessianFree(gather=gather).prepare(run)
    with pytest.warns(UserWarning, match="are 0 in every number"):
        cu.HessianFree().store(run, tmp_path / "rows")
    with pytest.warns(UserWarning, match="are 0 in every number"):
        cu.requests.influential(run, 3)
    with pytest.warns(UserWarning, match="are 0 in every number"):
        cu.HessianFree().forget(run, prepared, [3], KEY)


def test_adam_without_eps_root_gets_the_cure():
    problem = network()
    run = trained(problem, optimizer=optax.adam(1.0, eps_root=0.0), learning_rate=0.01, epochs=1)
    still = replace(run.problem, data=replace(run.problem.data, x=run.problem.data.x.at[:, 0].set(0.0)))
    blank = cu.fit(still, run.recipe, run.start, run.schedule)
    with pytest.raises(cu.Diverged, match="adam eps_root=1e-16"):
        cu.HessianFree().forget(blank, None, [3], KEY)


def test_adam_in_float16_is_refused_with_the_cure():
    model = cu.models.MLP(hidden=(3,), classes=3, dtype="float16")
    with pytest.raises(cu.BadInput, match="eps=1e-4, eps_root=1e-7"):
        cu.train(cu.classification(model, classes()), cu.Recipe(optimizer="adam"), KEY)


@pytest.mark.parametrize("key", [0, jax.random.PRNGKey(0), jax.random.split(KEY), None])
def test_a_key_without_a_type_is_refused(key):
    with pytest.raises(cu.BadInput, match="typed key"):
        cu.train(network(), cu.Recipe(), key)


@pytest.mark.parametrize("seed", range(6))
def test_noise_of_an_optimizer_does_not_decide_its_sign(seed):
    assert sign_of(optax.noisy_sgd(1.0, key=seed), {"a": jnp.ones(100), "b": jnp.ones(3)}) == 1.0
    assert sign_of(optax.add_noise(10.0, 0.55, key=seed), PARAMS) == -1.0
