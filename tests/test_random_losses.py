"""Dropout and augmentation inside the losses: the replay repeats them, and rows stay exact."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import certunl as cu
from certunl.audits._canary_run import trained_with
from certunl.training.loop import step
from tests.cases import KEY, classes, gap, trained, vector


class Dropped(nn.Module):
    """A small network with dropout, as users write it."""

    classes: int = 3

    @nn.compact
    def __call__(self, x: Any, train: bool) -> Any:
        x = nn.softplus(nn.Dense(5, param_dtype=jnp.float64)(x))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(self.classes, param_dtype=jnp.float64)(x)


class Deterministic(nn.Module):
    """The same with flax's other word for it."""

    @nn.compact
    def __call__(self, x: Any, deterministic: bool) -> Any:
        x = nn.Dropout(0.5)(nn.Dense(5, param_dtype=jnp.float64)(x), deterministic=deterministic)
        return nn.Dense(3, param_dtype=jnp.float64)(x)


def warmed() -> Any:
    schedule = optax.warmup_cosine_decay_schedule(0.2, 1.0, 3, 12)
    return optax.chain(
        optax.clip_by_global_norm(1.0), optax.scale_by_adam(eps_root=1e-8), optax.scale_by_schedule(schedule)
    )


def noisy(params, batch):
    """Squares on inputs with fresh noise of each example and step."""
    x = batch.x
    if batch.keys is not None:
        x = x + 0.3 * jax.vmap(lambda key: jax.random.normal(key, x.shape[1:], x.dtype))(batch.keys)
    return 0.5 * (x @ params["w"] - batch.y) ** 2


def augmented(seed: int | None = 4) -> cu.Problem:
    rng = np.random.default_rng(0)
    data = cu.Dataset(rng.normal(size=(20, 3)), rng.normal(size=20))
    return cu.Problem(init=lambda key: {"w": jnp.zeros(3)}, losses=noisy, data=data, randomness=seed)


def difference(run: cu.Run, example: int, h: float = 1e-5) -> np.ndarray:
    """−d params/d weight of one example, by central differences of whole trainings."""
    ends = []
    for weight in (1 - h, 1 + h):
        weights = jnp.where(run.schedule.indices == example, weight, 1.0) * run.schedule.weights
        schedule = replace(run.schedule, weights=weights)
        ends.append(vector(cu.fit(run.problem, run.recipe, run.start, schedule).params))
    return (ends[0] - ends[1]) / (2 * h)


@pytest.mark.parametrize("optimizer", ["sgd", warmed()], ids=["sgd", "clip, adam, warm-up"])
@pytest.mark.parametrize("model", [Dropped(), Deterministic()], ids=["train", "deterministic"])
def test_rows_with_dropout_are_the_derivative_of_training(model, optimizer):
    run = trained(cu.classification(model, classes(), randomness=3), epochs=2, optimizer=optimizer)
    rows = cu.HessianFree(units=[2, 11]).prepare(run).rows
    for slot, example in enumerate((2, 11)):
        row = vector(jax.tree.map(lambda leaf, slot=slot: leaf[slot], rows))
        np.testing.assert_allclose(row, difference(run, example), rtol=1e-5, atol=1e-7 * np.abs(row).max())


def test_dropout_changes_training_and_not_evaluation():
    with_, without, again, other = (
        trained(cu.classification(Dropped(), classes(), randomness=seed)) for seed in (3, None, 3, 4)
    )
    assert gap(with_.params, without.params) > 1e-3 and gap(with_.params, other.params) > 1e-3
    assert gap(with_.params, again.params) == 0
    scores = [run.problem.scores(with_.params, with_.problem.data).losses for run in (with_, without)]
    np.testing.assert_array_equal(*scores)


def test_augmentation_is_the_naive_loop_with_keys_of_step_and_example():
    run = trained(augmented(), epochs=2)
    w, schedule = np.zeros(3), run.schedule
    for t in range(len(schedule)):
        total = np.zeros(3)
        for i, weight in zip(np.asarray(schedule.indices[t]), np.asarray(schedule.weights[t]), strict=True):
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(4), t), int(i))
            x = np.asarray(run.problem.data.x[i] + 0.3 * jax.random.normal(key, (3,)))
            total += weight * (x @ w - float(run.problem.data.y[i])) * x
        w = w - float(schedule.rates[t]) * total / float(schedule.divisors[t])
    np.testing.assert_allclose(vector(run.params), w, rtol=1e-10)


def test_the_randomness_of_those_who_stay_does_not_depend_on_the_forgotten():
    run = trained(augmented(), epochs=2)
    away = cu.Retrain().forget(run, None, [4], KEY)
    data = replace(run.problem.data, x=run.problem.data.x.at[4].set(99.0))
    other = replace(run, problem=replace(run.problem, data=data))
    np.testing.assert_array_equal(vector(away.params), vector(cu.Retrain().forget(other, None, [4], KEY).params))
    row = cu.HessianFree().forget(run, None, [4], KEY)
    assert gap(row.params, away.params) < 0.3 * gap(run.params, away.params)


def test_steps_that_follow_training_have_new_keys():
    first = trained(augmented(), epochs=1)
    longer = first.schedule.then(replace(first.schedule, numbers=None))
    np.testing.assert_array_equal(longer.numbers, np.arange(2 * len(first.schedule)))
    assert trained(augmented(None), epochs=1).schedule.numbers is None


def test_every_way_to_train_or_differentiate_uses_the_same_keys():
    run = trained(augmented(), epochs=2)
    bare = replace(run, schedule=replace(run.schedule, numbers=None))  # as a user may write it
    for call in (
        lambda run: cu.Retrain().forget(run, None, [4], KEY).params,
        lambda run: cu.HessianFree().forget(run, None, [4], KEY).params,
        lambda run: cu.HessianFree(gather=cu.rows.Backward()).prepare(run).rows,
        lambda run: cu.ensemble(run, np.asarray(run.present)[None]),
    ):
        np.testing.assert_array_equal(vector(call(run)), vector(call(bare)))
    together = cu.ensemble(run, np.ones((1, len(run.problem.data)), bool))
    assert gap(jax.tree.map(lambda a: a[0], together), run.params) < 1e-9
    starts, schedules = cu.seeds(run, [KEY, jax.random.key(8)])
    fresh = cu.ensemble(run, np.ones((2, len(run.problem.data)), bool), starts=starts, schedules=schedules)
    for i, key in enumerate((KEY, jax.random.key(8))):
        alone = cu.train(run.problem, run.recipe, key).params
        assert gap(jax.tree.map(lambda a, i=i: a[i], fresh), alone) < 1e-9
    with pytest.raises(cu.BadInput, match="random losses need the number of each step"):
        step(run.problem, run.recipe, run.recipe.begin(run.start), bare.schedule, jnp.ones(()))
    with pytest.raises(cu.BadInput, match=r"needs .* numbers"):
        replace(run.schedule, numbers=jnp.arange(2)).check(len(run.problem.data))


def test_an_audit_trains_with_the_numbers_of_the_steps():
    run = trained(augmented(), epochs=1)
    absent = trained_with(run.problem, run, np.array([3]), KEY)
    np.testing.assert_array_equal(absent.schedule.numbers, np.arange(len(absent.schedule)))


def test_a_seed_that_is_none_is_refused():
    for seed in (-1, 0.5, jax.random.key(0), True):
        with pytest.raises(cu.BadInput, match="randomness must be a whole number"):
            cu.classification(Dropped(), classes(), randomness=seed)


def test_noisy_steps_use_the_randomness_too():
    ends = []
    for seed in (4, 4, 5, None):
        run = trained(augmented(seed), epochs=1)
        run = replace(run, params=trained(augmented(None), epochs=1).params)
        method = cu.NoisyFineTuning(noise=1e-13, epochs=2, radius=5.0, clip_norm=5.0, batch_size=100, learning_rate=0.1)
        ends.append(vector(method.forget(run, None, [4], KEY).params))
    assert np.abs(ends[0] - ends[1]).max() < 1e-9
    assert np.abs(ends[0] - ends[2]).max() > 1e-4 and np.abs(ends[0] - ends[3]).max() > 1e-4


def test_a_first_batch_that_fails_by_its_augmentation_is_named():
    def broken(params, batch):
        bad = 0.0 if batch.keys is None else jnp.where(batch.ids == 7, jnp.nan, 0.0)
        return noisy(params, batch) + bad

    problem = replace(augmented(), losses=broken)
    with pytest.raises(cu.Diverged, match="the loss of example 7 is nan"):
        trained(problem, batch_size=20)
