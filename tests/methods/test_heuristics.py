"""The heuristics by hand: the loop on other rows or with another sign, Fisher noise, a diagonal, a few units."""

import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.training.curvature import hutchinson_diagonal
from certunl.training.risk import Risk
from tests.cases import KEY, gap, network, ridge, trained

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
def test_the_rate_is_the_mean_of_training_s(method):
    run = trained(ridge(), decay=0.8)
    mean = float(np.mean(run.schedule.rates, dtype=float))
    by_default, given = (m.forget(run, None, IDS, KEY).params for m in (method(), method(learning_rate=mean)))
    assert (by_default["w"] == given["w"]).all()
    adopted = cu.adopt(run.problem, run.params, recipe=cu.Recipe(learning_rate=0.03))
    by_default, given = (m.forget(adopted, None, IDS, KEY).params for m in (method(), method(learning_rate=0.03)))
    assert (by_default["w"] == given["w"]).all()
    for settings in ({"epochs": 0}, {"learning_rate": -1.0}):
        with pytest.raises(cu.BadInput):
            method(**settings)


def test_in_float32_the_mean_rate_warns_of_nothing():
    with jax.enable_x64(False):  # a sum of JAX in float64 would, and warnings are errors
        problem = cu.classification(cu.models.Linear(classes=3), cu.datasets.load("wine", train=20).train)
        run = cu.train(problem, cu.Recipe(learning_rate=0.1, epochs=1, batch_size=10), KEY)
        assert cu.FineTune().rate(run) == pytest.approx(0.1)


def test_a_model_that_stays_where_it_was_is_warned_of():
    run = trained(ridge(), epochs=40, decay=0.8)  # the last rate is 1e-15 of the first
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moved = cu.FineTune().forget(run, None, IDS, KEY)
    assert gap(moved.params, run.params) > 1e-5
    with pytest.warns(UserWarning, match="finetune moved the parameters by .* give it a larger learning_rate"):
        cu.FineTune(learning_rate=1e-12).forget(run, None, IDS, KEY)


def test_no_parameter_moves_farther_by_influence_than_by_a_gradient_step():
    run = trained(network(hidden=(6,)))
    risk, retained = Risk(run), run.retained(np.array(IDS))
    diagonal = hutchinson_diagonal(lambda v, _: risk.product(run.params, v, retained, "hessian"), run.params, KEY, 16)
    largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(diagonal))
    gradient = risk.sum_gradient(run.params, risk.shares(retained) - risk.shares(run.present))
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b), cu.DiagonalInfluence().forget(run, None, IDS, KEY).params, run.params
    )
    for move, slope in zip(jax.tree.leaves(moved), jax.tree.leaves(gradient), strict=True):
        assert (move <= np.abs(slope) / largest * (1 + 1e-6)).all()


def test_they_never_touch_who_is_already_gone():
    run = trained(ridge())
    after = run.minus([0, 1], run.params)
    poisoned = jax.tree.map(lambda a: a.at[:2].set(1e6) if a.ndim else a, after.problem.data)
    other = replace(after, problem=replace(after.problem, data=poisoned))
    for method in (cu.FineTune(), cu.NegGrad()):
        assert gap(method.forget(other, None, IDS, KEY).params, method.forget(after, None, IDS, KEY).params) < 1e-12


def test_nor_do_those_that_look_at_labels_and_outputs():
    run = trained(network())
    after = run.minus([0, 1], run.params)
    data = after.problem.data
    other = replace(after, problem=replace(after.problem, data=replace(data, x=data.x.at[:2].set(1e6))))
    for method in (cu.RandomLabels(), cu.SalUn(), cu.NegGradPlus(), cu.SCRUB()):
        assert gap(method.forget(other, None, IDS, KEY).params, method.forget(after, None, IDS, KEY).params) < 1e-12


@pytest.mark.parametrize("method", [cu.RandomLabels(), cu.SalUn(), cu.SCRUB()])
def test_only_a_classification_has_labels(method):
    targets = cu.Dataset(np.ones((24, 5)), np.arange(24))
    regression = cu.regression(cu.models.Linear(classes=1, dtype=jnp.float64), targets)
    for problem in (ridge(), regression):
        with pytest.raises(cu.BadInput, match="needs a classification"):
            method.forget(trained(problem, learning_rate=1e-3), None, IDS, KEY)


def test_fisher_noise_has_the_fourth_root_of_the_inverse_diagonal_and_not_the_square_root():
    run = trained(ridge(), batch_size=24)
    x, y, w = (np.asarray(a) for a in (run.problem.data.x, run.problem.data.y, run.params["w"]))
    left = np.setdiff1d(np.arange(24), IDS)
    diagonal = ((x[left] * (x[left] @ w - y[left])[:, None]) ** 2).sum(axis=0) / 24
    method = cu.FisherForgetting(alpha=0.1)
    draws = np.stack([method.forget(run, None, IDS, key).params["w"] - w for key in jax.random.split(KEY, 400)])
    for power, right in ((-0.25, True), (-0.5, False)):
        ratio = draws.std(axis=0) / (0.1 * diagonal**power)
        assert (abs(ratio - 1) < 5 / np.sqrt(800)).all() == right
    assert (abs(draws.mean(axis=0)) < 5 * draws.std(axis=0) / 20).all()


def test_influence_is_newton_where_the_hessian_is_diagonal():
    problem = ridge()
    axes = np.kron(np.eye(5), np.ones((5, 1)))[:24] * np.linspace(0.5, 2.0, 24)[:, None]
    run = trained(replace(problem, data=cu.Dataset(axes, problem.data.y)), weight_decay=0.1)
    exact = cu.Newton(damping=0.3, solver=cu.Dense()).forget(run, None, IDS, KEY).params
    for probes in (1, 3):  # signs cancel exactly on a diagonal
        update = cu.DiagonalInfluence(damping=0.3, probes=probes).forget(run, None, IDS, KEY)
        assert gap(update.params, exact) < 1e-12


def test_lcodec_moves_whole_units_only_and_all_of_them_is_newton():
    run = trained(network(hidden=(6,)), weight_decay=0.1)
    few = cu.LCODEC(units=2, draws=16).forget(run, None, IDS, KEY)
    moved = jax.tree.map(
        lambda a, b: np.abs(np.asarray(a - b)).reshape(-1, a.shape[-1]).max(0) > 0, few.params, run.params
    )
    for layer in moved.values():
        assert (layer["kernel"] == layer["bias"]).all()
    assert 1 <= sum(layer["bias"].sum() for layer in moved.values()) == few.cost["units"] <= 2


def test_lcodec_selects_the_columns_the_loss_depends_on():
    from certunl.methods.lcodec import _select

    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 12))
    chosen = _select(features, features[:, 3] ** 2 + 0.5 * features[:, 8], 5)
    assert set(chosen[:2]) == {3, 8}
    assert _select(features, rng.normal(size=200), 1) != [3]


def test_lcodec_needs_a_model_whose_features_it_can_see():
    with pytest.raises(cu.BadInput, match="linen"):
        cu.LCODEC().forget(trained(ridge()), None, IDS, KEY)


def test_the_settings_of_heuristics_are_checked():
    for method, settings in (
        (cu.FisherForgetting, {"alpha": 0.0}),
        (cu.FisherForgetting, {"floor": float("nan")}),
        (cu.DiagonalInfluence, {"damping": 0.0}),
        (cu.DiagonalInfluence, {"probes": 0}),
        (cu.DiagonalInfluence, {"operator": "kfac"}),
        (cu.LCODEC, {"units": 0}),
        (cu.LCODEC, {"draws": 2}),
        (cu.LCODEC, {"noise": -1.0}),
        (cu.LCODEC, {"operator": "kfac"}),
    ):
        with pytest.raises(cu.BadInput):
            method(**settings)
