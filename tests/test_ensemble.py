"""Many trainings at once are the trainings one after another."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import certunl as cu
from tests.cases import KEY, classes, gap, network, trained, vector

REQUESTS = [[0], [3], [1, 2, 5], [7, 11]]


def picked(models, i):
    return jax.tree.map(lambda leaf: leaf[i], models)


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"weight_decay": 0.01, "radius": 2.0, "clip_norm": 0.5},
        {"optimizer": "momentum"},
        {"optimizer": optax.adam(1.0, eps_root=1e-16), "learning_rate": 0.01},
        {"denominator": "retained"},
        {"batches": "poisson"},
        {"batches": "fixed"},
    ],
    ids=["sgd", "ball", "momentum", "optax", "retained", "poisson", "fixed"],
)
def test_retrainings_are_what_retrain_gives(recipe):
    run = trained(network(), **recipe)
    models = cu.retrainings(run, REQUESTS)
    for i, request in enumerate(REQUESTS):
        truth = cu.Retrain().forget(run, None, np.array(request), KEY).params
        assert gap(picked(models, i), truth) < 1e-12
        assert gap(run.params, truth) > 1e-6


def test_whoever_was_forgotten_before_stays_away():
    run = trained(network())
    first = cu.Retrain().forget(run, None, np.array([4]), KEY)
    later = run.minus(np.array([4]), first.params)
    truth = cu.Retrain().forget(later, None, np.array([9]), KEY).params
    assert gap(picked(cu.retrainings(later, [[9]]), 0), truth) < 1e-12
    assert gap(picked(cu.ensemble(later, np.ones((1, 30), bool)), 0), first.params) < 1e-12


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 9])
def test_the_size_of_a_chunk_changes_nothing(chunk):
    run = trained(network())
    ticks = []
    models = cu.retrainings(run, REQUESTS, chunk=chunk, progress=lambda *tick: ticks.append(tick))
    assert gap(models, cu.retrainings(run, REQUESTS)) < 1e-12
    assert ticks[-1] == (4, 4) and len(ticks) == -(-4 // min(chunk, 4))


@pytest.mark.parametrize("batches", ["equal", "poisson"])
def test_seeds_are_runs_trained_from_those_keys(batches):
    run = trained(network(), batches=batches)
    keys = list(jax.random.split(KEY, 3))
    starts, schedules = cu.seeds(run, keys)
    present = np.ones((3, 30), bool)
    present[1, 5] = False
    models = cu.ensemble(run, present, starts=starts, schedules=schedules)
    for i, key in enumerate(keys):
        alone = cu.train(run.problem, run.recipe, key)
        if i == 1:
            alone = alone.minus([5], cu.Retrain().forget(alone, None, np.array([5]), KEY).params)
        assert gap(picked(models, i), alone.params) < 1e-12


def test_initial_parameters_of_their_own_on_shared_batches():
    run = trained(network())
    starts, _ = cu.seeds(run, list(jax.random.split(KEY, 2)))
    models = cu.ensemble(run, np.ones((2, 30), bool), starts=starts)
    for i in range(2):
        alone = cu.fit(run.problem, run.recipe, picked(starts, i), run.schedule)
        assert gap(picked(models, i), alone.params) < 1e-12


@dataclass(frozen=True)
class _Centred:
    """Losses of a model that sees its inputs less the batch's mean: who else is there matters."""

    def __call__(self, params, batch):
        return 0.5 * ((batch.x - jnp.mean(batch.x, axis=0)) @ params["w"] - batch.y) ** 2


def test_losses_that_look_at_a_whole_batch_never_see_who_is_gone():
    data = classes()
    problem = cu.Problem(init=lambda key: {"w": jax.random.normal(key, (4,))}, losses=_Centred(), data=data)
    run = trained(problem)
    truth = cu.Retrain().forget(run, None, np.array([3]), KEY).params
    assert gap(picked(cu.retrainings(run, [[3]]), 0), truth) < 1e-12
    moved = replace(data, x=np.where(np.arange(30)[:, None] == 3, 100.0, data.x))
    again = cu.fit(replace(problem, data=moved), run.recipe, run.start, run.schedule)
    assert gap(picked(cu.retrainings(again, [[3]]), 0), truth) < 1e-12


def test_a_model_that_diverges_is_named():
    run = trained(network())
    starts = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf * jnp.nan]), run.start)
    with pytest.raises(cu.Diverged, match="model 1"):
        cu.ensemble(run, np.ones((2, 30), bool), starts=starts)


def test_shapes_that_disagree_are_refused():
    run = trained(network())
    for present in (np.ones((2, 29), bool), np.ones(30, bool), np.ones((2, 30)), np.ones((0, 30), bool)):
        with pytest.raises(cu.BadInput, match="present must be bool"):
            cu.ensemble(run, present)
    with pytest.raises(cu.BadInput, match="starts"):
        cu.ensemble(run, np.ones((3, 30), bool), starts=jax.tree.map(lambda leaf: leaf[None], run.start))
    with pytest.raises(cu.BadInput, match="no example to be trained on"):
        cu.ensemble(run, np.zeros((2, 30), bool))
    with pytest.raises(cu.BadInput, match="chunk"):
        cu.ensemble(run, np.ones((2, 30), bool), chunk=0)
    with pytest.raises(cu.BadInput, match="no key"):
        cu.seeds(run, [])
    with pytest.raises(cu.BadInput, match="no request"):
        cu.retrainings(run, [])


@dataclass(frozen=True)
class _Standardised:
    """Inputs divided by the batch's spread: at parameters of zero nobody's loss depends on anybody."""

    def __call__(self, params, batch):
        x = (batch.x - jnp.mean(batch.x, axis=0)) / (jnp.std(batch.x, axis=0) + 1e-3)
        return 0.5 * (x @ params["w"] - batch.y) ** 2


def test_a_coupling_that_cannot_be_seen_at_the_start_is_found():
    problem = cu.Problem(init=lambda key: {"w": jnp.zeros(4)}, losses=_Standardised(), data=classes())
    run = trained(problem)
    truth = cu.Retrain().forget(run, None, np.array([7]), KEY).params
    assert gap(picked(cu.retrainings(run, [[7]]), 0), truth) < 1e-12


@dataclass(frozen=True)
class _Poisson:
    """e^(x'w) − y x'w: infinite for an outlier."""

    def __call__(self, params, batch):
        return jnp.exp(batch.x @ params["w"]) - batch.y * (batch.x @ params["w"])


def test_an_infinite_loss_of_somebody_absent_spoils_nothing():
    rng = np.random.default_rng(0)
    x = np.append(np.abs(rng.normal(size=(20, 1))), [[2000.0]], axis=0)
    problem = cu.Problem(
        init=lambda key: {"w": jnp.array([0.1])},
        losses=_Poisson(),
        data=cu.Dataset(x, np.append(np.full(20, 3.0), 0.0)),
    )
    kept = trained(replace(problem, data=problem.data[np.arange(20)]), learning_rate=0.2, epochs=6)
    schedule = replace(kept.schedule, indices=kept.schedule.indices.at[0, 0].set(20))
    run = replace(kept, problem=problem, schedule=schedule, present=jnp.ones(21, bool))
    truth = cu.Retrain().forget(run, None, np.array([20]), KEY).params
    assert np.isfinite(vector(truth)).all()
    assert gap(picked(cu.retrainings(run, [[20]]), 0), truth) < 1e-12
