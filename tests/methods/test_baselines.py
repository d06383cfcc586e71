"""The Newton step and the jackknife: closed forms at a minimum, one answer in every order, a sentence where there is
none."""

from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.certificates.guarantee import minimiser
from tests.cases import KEY, gap, network, ridge, trained, vector

IDS = [2, 5, 11]
TARGETS = [("batch", 0.1, 0.0), ("retained", 0.1, 0.0), ("batch", 0.0, 0.1), ("retained", 0.0, 0.1)]
SOLVERS = [None, cu.CG(tol=1e-13)]
each_target = pytest.mark.parametrize(("denominator", "weight_decay", "l2"), TARGETS)


def quadratic(rows, denominator, weight_decay, l2, n=24):
    """(H, argmin) of the risk over `rows` of `ridge()`, by hand."""
    data = ridge().data
    x, y = np.asarray(data.x)[rows], np.asarray(data.y)[rows]
    whole = n if denominator == "batch" else len(rows)
    hessian = x.T @ x / whole + (weight_decay + l2 * len(rows) / whole) * np.eye(5)
    return hessian, np.linalg.solve(hessian, x.T @ y / whole)


def at_minimum(denominator, weight_decay, l2):
    run = trained(ridge(l2=l2), weight_decay=weight_decay, denominator=denominator)
    return replace(run, params={"w": jnp.asarray(quadratic(np.arange(24), denominator, weight_decay, l2)[1])})


@each_target
@pytest.mark.parametrize("solver", SOLVERS)
def test_from_the_minimum_of_a_quadratic_a_newton_step_is_exact(denominator, weight_decay, l2, solver):
    run = at_minimum(denominator, weight_decay, l2)
    truth = quadratic(np.setdiff1d(np.arange(24), IDS), denominator, weight_decay, l2)[1]
    update = cu.NewtonStep(solver=solver).forget(run, None, IDS, KEY)
    assert np.linalg.norm(update.params["w"] - truth) < 1e-10
    assert update.bound is None and update.guarantee.reference == minimiser(run.recipe.radius)


@each_target
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_jackknife_is_its_closed_form_prepared_or_not(denominator, weight_decay, l2, solver):
    run = at_minimum(denominator, weight_decay, l2)
    x, y, w = (np.asarray(a) for a in (run.problem.data.x, run.problem.data.y, run.params["w"]))
    hessian = quadratic(np.arange(24), denominator, weight_decay, l2)[0]
    inside = l2 + (weight_decay if denominator == "retained" else 0)
    forces = x * (x @ w - y)[:, None] + inside * w
    expected = w + np.linalg.solve(hessian, forces[IDS].sum(0) / 24)
    method = cu.Jackknife(solver=solver)
    for prepared in (None, method.prepare(run)):
        update = method.forget(run, prepared, IDS, KEY)
        assert np.linalg.norm(update.params["w"] - expected) < 1e-10
        assert update.bound is None and update.guarantee.reference == minimiser(run.recipe.radius)


@each_target
def test_the_jackknife_is_the_derivative_of_the_minimum(denominator, weight_decay, l2):
    """Where U keeps the weight 1 − s, the minimum is w + s (jackknife − w) up to an error that falls 4x as s halves."""
    run = at_minimum(denominator, weight_decay, l2)
    x, y, w = (np.asarray(a) for a in (run.problem.data.x, run.problem.data.y, run.params["w"]))
    step = np.asarray(cu.Jackknife().forget(run, None, IDS, KEY).params["w"]) - w
    errors = []
    for s in (0.2, 0.1, 0.05):
        a = np.ones(24)
        a[IDS] = 1 - s
        whole = 24 if denominator == "batch" else a.sum()
        hessian = (x.T * a) @ x / whole + (weight_decay + l2 * a.sum() / whole) * np.eye(5)
        errors.append(np.linalg.norm(np.linalg.solve(hessian, x.T @ (a * y) / whole) - w - s * step))
    assert all(3.6 < big / small < 4.4 for big, small in pairwise(errors))


@pytest.mark.parametrize("denominator", ["batch", "retained"])
def test_frozen_at_the_minimum_the_hessian_free_recursion_ends_in_the_jackknife(denominator):
    run = at_minimum(denominator, 0.1, 0.0)
    schedule = cu.Schedule(np.tile(np.arange(24, dtype=np.int32), (2000, 1)), np.ones((2000, 24)), np.full(2000, 0.3))
    frozen = cu.fit(run.problem, run.recipe, run.params, schedule)
    assert gap(frozen.params, run.params) < 1e-12
    recursion = cu.HessianFree().forget(frozen, None, IDS, KEY).params
    assert gap(recursion, cu.Jackknife().forget(frozen, None, IDS, KEY).params) < 1e-12


@pytest.mark.parametrize(
    ("method", "operator", "denominator"),
    [(cu.NewtonStep, "ggn", "batch"), (cu.Jackknife, "hessian", "batch"), (cu.Jackknife, "ggn", "retained")],
)
def test_conjugate_gradients_find_the_dense_solution_on_a_network(method, operator, denominator):
    run = trained(network(l2=0.01), weight_decay=0.5, denominator=denominator, epochs=20)
    dense, cg = (method(operator=operator, damping=0.5, solver=s) for s in (None, cu.CG(tol=1e-12)))
    small = method(operator=operator, damping=0.5, max_dimension=5)  # too many parameters: conjugate gradients
    assert small.prepare(run) is None
    a, b, c = (m.forget(run, None, IDS, KEY) for m in (dense, cg, small))
    assert gap(b.params, a.params) < 1e-11 and gap(c.params, a.params) < 1e-5
    assert b.cost["residual"] < 1e-11 and c.cost["solver_steps"] < 100
    assert gap(a.params, run.params) > 1e-4


def test_the_newton_step_is_the_forgotten_form_of_newton():
    run = trained(network(), weight_decay=0.5, epochs=20, denominator="retained", radius=3.0)
    one = cu.NewtonStep(damping=0.5).forget(run, None, IDS, KEY).params
    other = cu.Newton(damping=0.5, gradient="forgotten", solver=cu.Dense()).forget(run, None, IDS, KEY).params
    assert gap(one, other) < 1e-14


@pytest.mark.parametrize("owners", [None, np.arange(30) // 3 + 5])
def test_prepared_rows_add_up_over_requests_and_owners(owners):
    run = trained(network(owners=owners), weight_decay=0.5, epochs=20)
    method = cu.Jackknife(damping=0.5)
    first, second = ([0, 1, 2], [6, 7, 8])
    prepared = method.prepare(run)
    assert prepared.units.shape == (30 if owners is None else 10,)
    whole = method.forget(run, prepared, first + second, KEY).params
    once = method.forget(run, prepared, first, KEY).params
    twice = method.forget(run.minus(first, once), prepared, second, KEY).params
    assert gap(twice, whole) < 1e-13
    unprepared = method.forget(run, None, first + second, KEY).params
    assert gap(unprepared, whole) < 1e-11
    later = method.prepare(run.minus(first, run.params))
    assert not np.any(vector(later.correction(first))) and np.any(vector(later.correction(second)))


def test_a_float32_model_stays_float32_in_a_float64_house():
    model = cu.models.MLP(hidden=(3,), classes=3)
    run = trained(cu.classification(model, network().data), weight_decay=0.5, denominator="retained")
    jackknife = cu.Jackknife(damping=1.0)
    for method, prepared in (
        (cu.NewtonStep(damping=1.0), None),
        (jackknife, None),
        (jackknife, jackknife.prepare(run)),
    ):
        leaves = jax.tree.leaves(method.forget(run, prepared, IDS, KEY).params)
        assert {leaf.dtype for leaf in leaves} == {np.dtype("float32")}


def test_rows_of_another_run_are_refused():
    run, other = (trained(ridge(), weight_decay=0.1, seed=s) for s in (0, 1))
    with pytest.raises(cu.BadInput, match="another run"):
        cu.Jackknife().forget(run, cu.Jackknife().prepare(other), IDS, KEY)


@pytest.mark.parametrize(
    ("method", "solver"), [(cu.NewtonStep, SOLVERS[1]), (cu.Jackknife, None), (cu.Jackknife, SOLVERS[1])]
)
def test_an_indefinite_hessian_is_refused_with_the_damping_it_takes(method, solver):
    run = trained(network(), epochs=1)
    calls = [lambda m: m.forget(run, None, IDS, KEY)] + [lambda m: m.prepare(run)] * (method is cu.Jackknife)
    for call in calls:
        with pytest.raises(cu.Diverged, match=r"smallest eigenvalue .* give a damping above") as refusal:
            call(method(solver=solver, damping=0.01))
        enough = float(str(refusal.value).split("damping above ")[1].split(",")[0])
        call(method(solver=solver, damping=enough * 1.001))
        with pytest.raises(cu.Diverged):
            call(method(solver=solver, damping=enough * 0.98))


def test_examples_the_schedule_never_visits_count_nowhere():
    run = at_minimum("retained", 0.1, 0.0)
    seen = np.arange(20, dtype=np.int32)
    partial = replace(run, schedule=cu.Schedule(seen.reshape(2, 10), np.ones((2, 10)), np.full(2, 0.1)))
    data = cu.Dataset(run.problem.data.x[:20], run.problem.data.y[:20])
    short = replace(partial, problem=replace(run.problem, data=data), present=jnp.ones(20, bool))
    for method in (cu.NewtonStep(), cu.Jackknife()):
        a, b = (method.forget(r, None, ids, KEY).params for r, ids in ((partial, [*IDS, 22]), (short, IDS)))
        assert gap(a, b) < 1e-14
    rows = cu.Jackknife().prepare(partial)
    assert gap(rows.correction([*IDS, 22]), jax.tree.map(jnp.subtract, b, short.params)) < 1e-12


@pytest.mark.parametrize("method", [cu.NewtonStep, cu.Jackknife])
def test_bad_settings_are_refused(method):
    for settings in (
        {"damping": -1.0},
        {"damping": None},
        {"operator": "kfac"},
        {"max_dimension": 0},
        {"solver": "cg"},
        {"solver": cu.LiSSA()},
    ):
        with pytest.raises(cu.BadInput):
            method(**settings)
