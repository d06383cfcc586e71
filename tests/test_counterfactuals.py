"""Many retrainings as a yardstick: exact on quadratics, and planted errors have their known values."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.evaluation.counterfactuals import klom
from tests.cases import KEY, classes, network, ridge, trained


@dataclass(frozen=True)
class _Off:
    """Retraining, off by a factor from the original; or destroyed."""

    factor: float
    wreck: float = 1.0

    def prepare(self, run, *, progress=None):
        """Nothing to prepare."""

    def forget(self, run, prepared, request, key):
        truth = cu.Retrain().forget(run, None, request, key)
        params = jax.tree.map(lambda o, t: self.wreck * (o + self.factor * (t - o)), run.params, truth.params)
        return replace(truth, params=params)


def test_hessian_free_foretells_every_single_deletion_of_a_quadratic():
    run = trained(ridge())
    found = cu.leave_one_out(run, cu.HessianFree(form="retained"), np.arange(8), KEY)
    np.testing.assert_allclose(found.predicted, found.true, rtol=1e-9)
    np.testing.assert_allclose(found.predicted_mean, found.true_mean, rtol=1e-7)
    assert (found.relative_distance < 1e-9).all()
    assert list(found.correlations().values()) == pytest.approx([1, 1, 1, 1])


@pytest.mark.parametrize(("factor", "sign"), [(1, 1), (-1, -1), (0.5, 1), (0, np.nan)])
def test_a_planted_error_has_its_correlation_and_distance(factor, sign):
    run = trained(network(), learning_rate=0.02)  # so little that losses change as parameters do
    found = cu.leave_one_out(run, _Off(factor), np.arange(8), KEY, data=classes(50, seed=1))
    assert found.relative_distance == pytest.approx(np.full(8, abs(1 - factor)))
    assert found.correlations()["own_pearson"] == pytest.approx(sign, abs=0.01, nan_ok=True)
    assert found.correlations()["own_spearman"] == pytest.approx(sign, abs=0.05, nan_ok=True)
    np.testing.assert_allclose(
        found.true[2],
        run.problem.losses(cu.Retrain().forget(run, None, [2], KEY).params, run.problem.data)[2]
        - run.problem.losses(run.params, run.problem.data)[2],
    )


def test_rows_prepared_once_serve_every_deletion():
    run = trained(network())
    method = cu.HessianFree()
    one, other = (cu.leave_one_out(run, method, [3, 5, 7], KEY, prepared=p) for p in (method.prepare(run), None))
    np.testing.assert_allclose(one.predicted, other.predicted, rtol=1e-8)
    with pytest.raises(cu.BadInput, match="three"):
        cu.leave_one_out(run, method, [3, 5], KEY)


def test_divergence_of_margins_by_hand():
    same = np.random.default_rng(0).normal(size=(50, 7))
    np.testing.assert_allclose(klom(same, same), 0, atol=1e-12)
    apart = klom(same, same + 100)
    assert (abs(apart - np.log(1e5)) < 0.3).all()
    counted = klom([[0.0], [0.0], [0.0], [1.0]], [[0.0], [1.0], [1.0], [1.0]], bins=2)
    assert counted == pytest.approx([0.75 * np.log(3) - 0.25 * np.log(3)], rel=1e-3)
    np.testing.assert_allclose(klom(np.ones((3, 2)), np.ones((3, 2))), 0, atol=1e-12)
    for wrong in (np.ones((3, 4)), np.full((3, 2), np.nan), np.full((3, 2), np.inf)):
        with pytest.raises(cu.BadInput, match="margins"):
            klom(wrong, np.ones((3, 2)))


@pytest.mark.parametrize(("models", "noise"), [(20, 5.0), (100, 0.7)])
def test_what_sampling_noise_alone_gives_and_that_a_hundred_models_show_a_difference(models, noise):
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, models, 1000))
    assert np.percentile(klom(one, other), 95) == pytest.approx(noise, rel=0.1)
    assert (np.median(klom(one + 2, other)) > 2 * noise) == (models == 100)


def test_a_model_that_was_destroyed_is_as_far_as_can_be():
    run = trained(network())
    wreck = replace(_Off(1.0), wreck=1e300)
    found = cu.klom_splits(run, {"wreck": wreck}, np.arange(5), run.problem.data, list(jax.random.split(KEY, 10)))
    assert found["wreck"]["klom_test"] > 10 > found["retrain"]["klom_test"]
    with pytest.raises(cu.BadInput, match="at least"):
        cu.klom_splits(run, {}, np.arange(5), run.problem.data, list(jax.random.split(KEY, 3)))


def test_an_example_that_training_never_saw_has_no_say():
    run = trained(ridge())
    run = cu.fit(run.problem, run.recipe, run.start, run.schedule.masked(run.schedule.indices == 3))
    found = cu.leave_one_out(run, cu.HessianFree(form="retained"), np.arange(6), KEY)
    assert np.isnan(found.relative_distance).tolist() == [False, False, False, True, False, False]
    assert found.correlations()["own_pearson"] == pytest.approx(1)


def test_retraining_is_as_near_the_oracle_as_other_seeds_allow_and_doing_nothing_is_not():
    rng = np.random.default_rng(3)
    data = cu.Dataset(rng.normal(size=(40, 6)), rng.integers(0, 3, 40))  # learnt by heart
    problem = cu.classification(cu.models.MLP(hidden=(24,), classes=3, dtype=np.dtype("float64")), data)
    run = trained(problem, epochs=60, learning_rate=0.5)
    keys = list(jax.random.split(KEY, 24))
    methods: Any = {"again": _Off(1), "nothing": _Off(0)}
    test = cu.Dataset(rng.normal(size=(30, 6)), rng.integers(0, 3, 30))
    found = cu.klom_splits(run, methods, np.arange(10), test, keys)
    for split in ("forget", "retain", "test"):
        assert found["again"][f"klom_{split}"] == found["retrain"][f"klom_{split}"]
    assert found["nothing"]["klom_forget"] > found["retrain"]["klom_forget"] + 2
