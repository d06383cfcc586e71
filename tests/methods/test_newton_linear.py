"""The closed form of Newton's bound for softmax and least-squares regression: attained, kept, and called proved."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from tests.bounds.test_linear_risk import made
from tests.bounds.test_residual import minimiser
from tests.cases import KEY, classes, network, ridge, trained, vector

IDS = [2, 5, 11]


def convex(kind):
    """A run whose constants are known in closed form: softmax or least squares with weight decay 0.5."""
    data = classes(n=60)
    if kind == "softmax":
        problem = cu.classification(cu.models.Linear(classes=3, dtype=jnp.float64), data)
    else:
        targets = np.asarray(data.x) @ np.arange(4.0) / 4 + np.sin(np.arange(60.0))
        problem = cu.regression(cu.models.Linear(classes=1, dtype=jnp.float64), cu.Dataset(data.x, targets))
    return trained(problem, weight_decay=0.5, epochs=40, batch_size=20, denominator="retained")


def slope(run, params, ids):
    """The retained risk's gradient, by hand."""
    left = run.problem.data[np.setdiff1d(np.arange(60), ids)]
    gradient = jax.grad(lambda p: run.problem.losses(p, left).mean())(params)
    return vector(gradient) + 0.5 * vector(params)


@pytest.mark.parametrize("kind", ["softmax", "least squares"])
def test_the_closed_form_bound_holds_against_the_minimiser_for_200_requests(kind):
    run = convex(kind)
    method = cu.Newton(damping=0.01, solver=cu.CG(tol=0.05), gradient="retained", assumed="linear")
    polish = cu.Newton(damping=0.0, solver=cu.Dense(), gradient="retained", steps=8)
    ratios = []
    for seed in range(200):
        ids = cu.requests.random(jax.random.key(seed), run, 3)
        update = method.forget(run, None, ids, KEY)
        minimiser = polish.forget(run, None, ids, KEY).params
        if seed == 0:
            assert np.linalg.norm(slope(run, minimiser, ids)) < 1e-12
        ratios.append(np.linalg.norm(vector(update.params) - vector(minimiser)) / update.bound)
    assert 1e-4 < max(ratios) <= 1
    assert {a.symbol: a.status for a in update.guarantee.assumptions}["M"] == "proved"
    assert (
        update.guarantee.reference == "the minimiser of the retained risk" and update.guarantee.failure_probability == 0
    )


@pytest.mark.parametrize("kind", ["softmax", "least squares"])
def test_the_bound_holds_against_retraining_with_its_gradient_measured(kind):
    run = convex(kind)
    closed = cu.bounds.linear_constants(run, 1.0)
    for seed in range(20):
        ids = cu.requests.random(jax.random.key(seed), run, 3)
        retrained = cu.Retrain().forget(run, None, ids, KEY).params
        measured = float(np.linalg.norm(slope(run, retrained, ids)))
        known = replace(closed, gradient_residual=measured, estimated=("gradient_residual",))
        update = cu.Newton(damping=0.01, solver=cu.Dense(), assumed=known).forget(run, None, ids, KEY)
        assert np.linalg.norm(vector(update.params) - vector(retrained)) <= update.bound
        assert {a.symbol: a.status for a in update.guarantee.assumptions}["G"] == "estimated"
        assert "gradient norm <= G" in update.guarantee.reference


def test_the_closed_form_constants_bound_what_is_measured():
    run = convex("softmax")
    constants = cu.bounds.linear_constants(run, 1.0)
    flat, unravel = jax.flatten_util.ravel_pytree(run.params)

    def risk(flat):
        return run.problem.losses(unravel(flat), run.problem.data).mean() + 0.25 * flat @ flat

    hessian = jax.jit(jax.hessian(risk))
    points = [3 * jax.random.normal(k, flat.shape) for k in jax.random.split(KEY, 30)]
    for a, b in zip(points[::2], points[1::2], strict=True):
        values = np.linalg.eigvalsh(hessian(a))
        assert constants.smallest_eigenvalue <= values[0] + 1e-12 and values[-1] <= constants.smoothness + 0.5
        change = np.linalg.norm(hessian(a) - hessian(b), 2)
        assert change <= constants.hessian_lipschitz * np.linalg.norm(a - b)


def same_rows(odds):
    """(constants, Hessian of the risk as a function of all parameters, where p = odds : 1 − odds, the unit direction
    along which p moves): two classes, every example the same x, the bias a feature of 1."""
    x = np.array([0.4, -1.2, 0.7])
    data = cu.Dataset(np.tile(x, (6, 1)), np.arange(6) % 2)
    run = trained(cu.classification(cu.models.Linear(classes=2, dtype=jnp.float64), data), weight_decay=0.1, epochs=1)
    flat, unravel = jax.flatten_util.ravel_pytree(run.params)
    z = np.append(x, 1) / np.linalg.norm(np.append(x, 1))

    def parameters(logits):
        """The multiple of z ⊗ logits."""
        return {"Dense_0": {"bias": jnp.asarray(z[-1] * logits), "kernel": jnp.asarray(np.outer(z[:-1], logits))}}

    logits = np.log([odds, 1 - odds]) / np.linalg.norm(np.append(x, 1))
    hessian = jax.hessian(lambda w: run.problem.losses(unravel(w), run.problem.data).mean())
    place, along = (jax.flatten_util.ravel_pytree(parameters(v))[0] for v in (logits, np.array([1, -1]) / np.sqrt(2)))
    assert place.shape == flat.shape and np.linalg.norm(along) == pytest.approx(1)
    return cu.bounds.linear_constants(run, 1.0), hessian, place, along


def test_the_closed_form_hessian_lipschitz_constant_is_attained():
    constants, hessian, place, along = same_rows(0.2113248654)
    change = np.linalg.norm(hessian(place + 1e-3 * along) - hessian(place - 1e-3 * along), 2)
    assert 0.999 < change / (constants.hessian_lipschitz * 2e-3) <= 1


def test_the_closed_form_smoothness_is_attained():
    constants, hessian, place, _ = same_rows(0.5)
    assert np.linalg.norm(hessian(place), 2) == pytest.approx(constants.smoothness, rel=1e-12)


def test_with_half_forgotten_the_l2_of_half_the_data_is_left_in_the_curvature():
    problem = cu.classification(cu.models.Linear(classes=3, dtype=jnp.float64), classes(n=60), l2=0.3)
    run = trained(problem, weight_decay=0.1, denominator="batch")
    update = cu.Newton(solver=cu.Dense(), assumed="linear").forget(run, None, np.arange(30), KEY)
    said = {a.symbol: a for a in update.guarantee.assumptions}
    assert said["mu"].value == said["lambda_min"].value == pytest.approx(0.1 + 0.3 * 0.5)
    assert said["mu"].status == "proved"
    flat, unravel = jax.flatten_util.ravel_pytree(run.params)
    left = run.problem.data[np.arange(30, 60)]
    hessian = jax.hessian(lambda w: run.problem.losses(unravel(w), left).sum() / 60 + 0.05 * w @ w)(flat)
    assert np.linalg.eigvalsh(hessian)[0] == pytest.approx(said["mu"].value)  # logits may all move alike


def test_the_closed_form_is_refused_where_it_does_not_apply():
    for run, words in (
        (trained(network(), radius=9.0), "needs classification"),
        (trained(ridge(), radius=9.0), "needs classification"),
        (replace(convex("softmax"), recipe=cu.Recipe()), "weight decay or l2"),
        (replace(convex("softmax"), recipe=cu.Recipe(weight_decay=0.5, radius=1.0)), "may lie outside the ball"),
    ):
        with pytest.raises(cu.BadInput, match=words):
            cu.Newton(damping=50.0, assumed="linear").forget(run, None, IDS, KEY)


def test_the_dimension_free_error_holds_and_lissa_s_conditions_are_stated():
    run = convex("softmax")
    constants = replace(cu.bounds.linear_constants(run, 1.0), failure_probability=0.01)
    exact = cu.Newton(damping=0.1, solver=cu.Dense(), gradient="retained").forget(run, None, IDS, KEY)
    lissa = cu.LiSSA(depth=40, repeats=3, scale=20.0)
    method = cu.Newton(damping=0.1, solver=lissa, gradient="retained", assumed=constants)
    for key in jax.random.split(KEY, 20):
        update = method.forget(run, None, IDS, key)
        rest = {a.symbol: a for a in update.guarantee.assumptions}
        gap = 0.1 + constants.smallest_eigenvalue
        error, _ = cu.bounds.dimension_free_error(
            v=rest["v"].value, gap=gap, scale=20.0, depth=40, repeats=3, failure_probability=0.01
        )
        assert np.linalg.norm(vector(update.params) - vector(exact.params)) <= error < update.bound
    assert update.guarantee.failure_probability == 0.01 and rest["S"].status == "given"


def test_the_bound_holds_in_float32_where_rounding_is_all_that_is_left():
    """Least squares solved exactly twice over: only rounding remains, and the bound counts it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 8)).astype(np.float32)
    y = (100 * x @ rng.normal(size=8) + rng.normal(size=200)).astype(np.float32)
    problem = cu.regression(cu.models.Linear(classes=1, dtype=jnp.float32), cu.Dataset(x, y))
    run = trained(problem, weight_decay=0.1, denominator="retained")
    method = cu.Newton(damping=0.0, solver=cu.Dense(), gradient="retained", steps=2, assumed="linear")
    for seed in range(10):
        ids = cu.requests.random(jax.random.key(seed), run, 5)
        update = method.forget(run, None, ids, KEY)
        left = np.setdiff1d(np.arange(200), ids)
        z = np.column_stack([x[left], np.ones(len(left))]).astype(np.float64)
        truth = np.linalg.solve(z.T @ z / len(left) + 0.1 * np.eye(9), z.T @ y[left].astype(np.float64) / len(left))
        got = np.concatenate([np.ravel(update.params["Dense_0"][k]) for k in ("kernel", "bias")])
        assert np.linalg.norm(got - truth) <= update.bound < 0.1


def test_only_what_the_code_derives_for_this_run_is_called_proved():
    elsewhere = cu.bounds.linear_constants(convex("softmax"), 1.0)
    assert "proved" in {elsewhere.status("hessian_lipschitz")}
    run = trained(network(), radius=9.0)
    update = cu.Newton(damping=50.0, gradient="retained", assumed=elsewhere).forget(run, None, IDS, KEY)
    assert {a.symbol: a.status for a in update.guarantee.assumptions}["M"] == "given"


@pytest.mark.parametrize("radius", [None, 5.0])
def test_newton_s_own_gradient_bounds_it_for_the_request_it_was_measured_for(radius):
    run = made(n=60, radius=radius)
    fixed = cu.Budget(epsilon=1.0, delta=1e-5, distance=0.05)
    for settings in ({}, {"operator": "ggn", "gradient": "retained", "damping": 0.0, "steps": 4}):
        update = cu.Newton(assumed="residual", **settings).forget(run, None, IDS, KEY)
        off = np.linalg.norm(vector(update.projected()) - minimiser(run, run.retained(np.array(IDS))))
        assert 0 < off <= update.bound < off / 0.05
        worth = "CONDITIONAL" if update.bound < update.guarantee.doing_nothing else "VACUOUS"
        assert cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5)).certificate.verdict == worth
    assert worth == "CONDITIONAL"
    assert cu.certify(update, fixed).certificate.verdict == "PROVED" and update.guarantee.failure_probability == 0
    other = cu.LiSSA(depth=50, repeats=1, scale=20.0)
    assert cu.Newton(assumed="residual", solver=other, damping=0.1).forget(run, None, IDS, KEY).bound < 10
    with pytest.raises(cu.BadInput, match="closed form needs"):
        cu.Newton(assumed="residual", operator="ggn").forget(trained(network(), weight_decay=0.1), None, IDS, KEY)
    with pytest.raises(cu.BadInput, match='"linear" or "residual", got'):
        cu.Newton(assumed="residue")
