"""Agreement with an independent implementation's numbers (another framework, float32, one unit at a time)."""

import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from tests.cases import KEY


@pytest.fixture(scope="module")
def case(reference_dir):
    data = np.load(reference_dir / "hessian_free_logistic.npz")
    problem = cu.classification(
        cu.models.Linear(classes=10),
        cu.Dataset(data["x"].reshape(len(data["y"]), -1).astype(np.float32), data["y"]),
        l2=float(data["regularization"]),
    )
    schedule = cu.Schedule(
        np.maximum(data["batches"], 0).astype(np.int32), (data["batches"] >= 0).astype(np.float32), data["rates"]
    )
    return data, cu.fit(problem, cu.Recipe(), _params(data, "start"), schedule)


def _params(data, name):
    return {
        "Dense_0": {
            "kernel": jnp.asarray(data[f"{name}/layer.weight"]).mT,
            "bias": jnp.asarray(data[f"{name}/layer.bias"]),
        }
    }


def _gap(ours, data, name, row=...):
    theirs = np.concatenate([data[f"{name}/layer.weight"][row].ravel(), data[f"{name}/layer.bias"][row].ravel()])
    mine = np.concatenate([np.asarray(ours["Dense_0"]["kernel"]).T.ravel(), np.asarray(ours["Dense_0"]["bias"])])
    return np.linalg.norm(mine.astype(float) - theirs) / np.linalg.norm(theirs)


def test_training_and_retraining_end_where_theirs_do(case):
    data, run = case
    assert _gap(run.params, data, "end") < 1e-5
    retrained = cu.Retrain().forget(run, None, data["kept_rows"], KEY)
    assert _gap(retrained.params, data, "retrained") < 1e-5


def test_each_statistics_row_is_theirs(case):
    data, run = case
    prepared = cu.HessianFree().prepare(run)
    for row, unit in enumerate(data["kept_rows"]):
        assert _gap(prepared.correction([unit]), data, "approx_rows", row) < 1e-4
    assert _gap(prepared.correction(np.arange(256)), data, "approx_sum") < 1e-4


def test_the_distances_are_theirs(case):
    data, run = case
    update = cu.HessianFree().forget(run, None, data["kept_rows"], KEY)
    row = cu.evaluate(run, data["kept_rows"], update).rows
    assert row["original"]["distance"] == pytest.approx(0.1995, abs=1e-4)
    assert row["hessian_free"]["distance"] == pytest.approx(0.0524, abs=1e-4)
