"""Fine-tuning and negative gradient are the loop itself, on other rows and with another sign."""

import jax
import numpy as np
import pytest

import certunl as cu
from tests.cases import KEY, gap, ridge, trained

IDS = [2, 5, 11]


@pytest.mark.parametrize(("method", "sign", "rows"), [(cu.FineTune, 1, None), (cu.NegGrad, -1, IDS)])
def test_one_step_over_all_rows_by_hand(method, sign, rows):
    run = trained(ridge(), batch_size=24, weight_decay=0.2)
    rows = np.setdiff1d(np.arange(24), IDS) if rows is None else np.array(rows)
    x, y, w = (np.asarray(a) for a in (run.problem.data.x, run.problem.data.y, run.params["w"]))
    gradient = sign * x[rows].T @ (x[rows] @ w - y[rows]) / len(rows) + 0.2 * w
    update = method(epochs=1, learning_rate=0.03).forget(run, None, IDS, KEY)
    assert gap(update.params, {"w": w - 0.03 * gradient}) < 1e-13
    assert update.bound is None


@pytest.mark.parametrize("method", [cu.FineTune, cu.NegGrad])
def test_the_rate_goes_on_where_training_ended(method):
    run = trained(ridge(), decay=0.8)
    last = float(run.schedule.rates[-1])
    by_default, given = (m.forget(run, None, IDS, KEY).params for m in (method(), method(learning_rate=last)))
    assert (by_default["w"] == given["w"]).all()
    for settings in ({"epochs": 0}, {"learning_rate": -1.0}):
        with pytest.raises(cu.BadInput):
            method(**settings)


def test_they_never_touch_who_is_already_gone():
    run = trained(ridge())
    after = run.minus([0, 1], run.params)
    poisoned = jax.tree.map(lambda a: a.at[:2].set(1e6) if a.ndim else a, after.problem.data)
    from dataclasses import replace

    other = replace(after, problem=replace(after.problem, data=poisoned))
    for method in (cu.FineTune(), cu.NegGrad()):
        assert gap(method.forget(other, None, IDS, KEY).params, method.forget(after, None, IDS, KEY).params) < 1e-12
