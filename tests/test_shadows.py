"""Shadow models are like the run but for who is in and where they start."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.membership.shadows import suspects, train_shadows
from tests.cases import KEY, gap
from tests.memorised import FORGOTTEN, noise, worlds


@pytest.fixture(scope="module")
def runs():
    return worlds()


def test_half_of_every_shadow_models_candidates_are_in_it_and_the_others_in_its_twin(runs):
    overfit, _, test = runs
    held = suspects(overfit, FORGOTTEN, test, KEY)
    trained = train_shadows(overfit, FORGOTTEN, held, KEY, 4)
    labels = np.asarray(held.candidates.y)
    assert sorted(labels[:100]) == sorted(labels[100:])
    inside = trained.present[:, trained.ids]
    assert (inside.sum(1) == 100).all() and (inside[0] != inside[1]).all() and (inside[2] != inside[3]).all()
    assert (inside[0] != inside[2]).any()
    assert trained.present.sum(1).tolist() == [200] * 4
    assert not trained.present[:, np.setdiff1d(FORGOTTEN, trained.ids)].any()


@pytest.mark.parametrize("recipe", [{}, {"denominator": "retained"}, {"batches": "poisson"}], ids=str)
def test_a_shadow_model_is_a_run_of_its_own_that_a_method_can_forget_from(recipe):
    problem = cu.classification(cu.models.Linear(classes=4, dtype=jnp.float64), noise(40, 0))
    run = cu.train(problem, cu.Recipe(epochs=3, batch_size=8, **recipe), KEY)
    request = np.arange(5, dtype=np.int32)
    trained = train_shadows(run, request, suspects(run, request, noise(60, 1), KEY), KEY, 4)
    for i, one in enumerate(trained.runs()):
        again = cu.fit(one.problem, one.recipe, one.start, one.schedule)
        assert gap(again.params, one.params) < 1e-12
        shown = np.asarray(one.schedule.indices)[np.asarray(one.schedule.weights) != 0]
        assert set(shown) <= set(np.flatnonzero(trained.present[i]))
        np.testing.assert_array_equal(one.schedule.divisors, run.schedule.divisors)
        np.testing.assert_array_equal(one.schedule.rates, run.schedule.rates)


def test_where_the_test_set_lacks_a_class_shadow_models_still_have_as_many_of_it_as_the_run(runs):
    """Of 100 asked for only as many can be compared as there are strangers; the rest is in every shadow model, and
    forgotten by every one."""
    overfit, _, test = runs
    few = test[np.arange(40)]
    held = suspects(overfit, FORGOTTEN, few, KEY)
    assert 20 < len(held.inside) <= 40
    trained = train_shadows(overfit, FORGOTTEN, held, KEY, 4)
    rest = np.setdiff1d(FORGOTTEN, held.inside)
    assert trained.present[:, rest].all() and trained.present.sum(1).tolist() == [200] * 4
    asked = []

    class Spy:
        def prepare(self, run, *, progress=None):
            """Nothing to prepare."""

        def forget(self, run, prepared, request, key):
            asked.append(request)
            return cu.Retrain().forget(run, None, request, key)

    trained.forgotten(Spy(), KEY)
    assert [len(request) for request in asked] == [100] * 4 and all(np.isin(rest, r).all() for r in asked)


def test_shadow_models_go_along_the_runs_own_schedule_whatever_the_recipe_says(runs):
    overfit, _, test = runs
    other = replace(overfit, recipe=replace(overfit.recipe, epochs=1, learning_rate=1e-6))
    held = suspects(overfit, FORGOTTEN, test, KEY)
    first, second = (train_shadows(run, FORGOTTEN, held, KEY, 4).params for run in (overfit, other))
    assert gap(first, second) < 1e-12


def test_owners_of_strangers_are_their_own(runs):
    problem = cu.classification(
        cu.models.Linear(classes=4, dtype=jnp.float64), replace(noise(40, 0), owners=np.arange(40) // 2)
    )
    run = cu.train(problem, cu.Recipe(epochs=1, batch_size=8), KEY)
    request = np.arange(6, dtype=np.int32)
    trained = train_shadows(run, request, suspects(run, request, noise(60, 1), KEY), KEY, 4)
    owners = np.asarray(trained.run.problem.data.owners)
    assert len(np.unique(owners[40:])) == len(owners[40:]) and owners[40:].min() > owners[:40].max()
