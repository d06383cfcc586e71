"""One Newton step: exact on quadratics, the same in every order of evaluation, honest where it cannot be."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from tests.cases import KEY, gap, network, ridge, trained, vector

IDS = [2, 5, 11]


def minimum(problem, rows, weight_decay, whole):
    """argmin of (1/whole) sum of ridge losses over `rows` + weight_decay/2 ‖w‖²."""
    x, y = np.asarray(problem.data.x)[rows], np.asarray(problem.data.y)[rows]
    return np.linalg.solve(x.T @ x / whole + weight_decay * np.eye(x.shape[1]), x.T @ y / whole)


@pytest.mark.parametrize("gradient", ["difference", "retained", "forgotten"])
@pytest.mark.parametrize("denominator", ["batch", "retained"])
@pytest.mark.parametrize("solver", [cu.Dense(), cu.CG(tol=1e-13)], ids=["dense", "cg"])
def test_from_the_minimum_of_a_quadratic_it_lands_on_the_retrained_minimum(gradient, denominator, solver):
    problem = ridge()
    run = trained(problem, weight_decay=0.1, denominator=denominator)
    run = replace(run, params={"w": jnp.asarray(minimum(problem, np.arange(24), 0.1, 24))})
    left = np.setdiff1d(np.arange(24), IDS)
    truth = minimum(problem, left, 0.1, 24 if denominator == "batch" else len(left))
    update = cu.Newton(damping=0.0, solver=solver, gradient=gradient).forget(run, None, IDS, KEY)
    assert np.linalg.norm(update.params["w"] - truth) < 1e-10
    assert update.cost["residual"] < 1e-10


def test_away_from_the_minimum_only_the_retained_gradient_goes_there():
    run = trained(ridge(), weight_decay=0.1)
    truth = minimum(run.problem, np.setdiff1d(np.arange(24), IDS), 0.1, 24)
    retained = cu.Newton(damping=0.0, solver=cu.Dense(), gradient="retained").forget(run, None, IDS, KEY)
    difference = cu.Newton(damping=0.0, solver=cu.Dense()).forget(run, None, IDS, KEY)
    assert np.linalg.norm(retained.params["w"] - truth) < 1e-10
    assert np.linalg.norm(difference.params["w"] - truth) > 1e-3


def test_damping_is_added_to_the_operator_itself():
    run = trained(ridge(), weight_decay=0.1)
    x, y = (np.asarray(a) for a in (run.problem.data.x, run.problem.data.y))
    w, left = np.asarray(run.params["w"]), np.setdiff1d(np.arange(24), IDS)
    v = -x[IDS].T @ (x[IDS] @ w - y[IDS]) / 24
    expected = w - np.linalg.solve(x[left].T @ x[left] / 24 + (0.1 + 0.7) * np.eye(5), v)
    update = cu.Newton(damping=0.7, solver=cu.Dense()).forget(run, None, IDS, KEY)
    assert np.linalg.norm(update.params["w"] - expected) < 1e-12


def test_streaming_over_microbatches_changes_nothing(monkeypatch):
    import certunl.methods._newton_program as program
    import certunl.training.curvature

    run = trained(network())
    lissa = cu.LiSSA(depth=5, repeats=2, scale=20.0, batch_size=12)  # whose mini-batches do not fit one microbatch
    for solver in (cu.CG(tol=1e-12), lissa):
        method = cu.Newton(damping=1.0, solver=solver)
        whole = method.forget(run, None, IDS, KEY).params
        with monkeypatch.context() as patch:
            patch.setattr(certunl.training.risk, "microbatch", lambda problem, params: 7)
            program.newton_steps.clear_cache()
            streamed = method.forget(run, None, IDS, KEY).params
        program.newton_steps.clear_cache()
        assert gap(streamed, whole) < 1e-10


@pytest.mark.parametrize("operator", ["hessian", "ggn"])
def test_lissa_approaches_the_exact_solution(operator):
    run = trained(network(), weight_decay=0.1)
    exact = cu.Newton(damping=0.5, operator=operator, solver=cu.Dense()).forget(run, None, IDS, KEY)
    lissa = cu.LiSSA(depth=300, repeats=20, scale=10.0, batch_size=10)
    update = cu.Newton(damping=0.5, operator=operator, solver=lissa).forget(run, None, IDS, KEY)
    step, error = vector(exact.params) - vector(run.params), vector(exact.params) - vector(update.params)
    assert np.linalg.norm(error) < 0.2 * np.linalg.norm(step)
    assert 0 < update.cost["residual"] < 0.3


def test_one_key_one_result_and_another_key_another():
    run = trained(network())
    method = cu.Newton(damping=1.0, solver=cu.LiSSA(depth=20, repeats=2, scale=10.0))
    first, again, other = (method.forget(run, None, IDS, jax.random.key(s)).params for s in (1, 1, 2))
    assert (vector(first) == vector(again)).all()
    assert (vector(first) != vector(other)).any()


def test_the_step_is_projected_onto_the_ball():
    run = trained(network(), radius=1.0)
    update = cu.Newton(damping=0.05, operator="ggn").forget(run, None, list(range(15)), KEY)
    assert np.linalg.norm(vector(update.params)) <= 1 + 1e-12


def test_an_indefinite_system_is_refused_with_the_curvature_met():
    run = trained(network(), epochs=1)
    for solver in (cu.CG(), cu.Dense()):
        with pytest.raises(cu.Diverged, match=r"not positive definite.*raise damping"):
            cu.Newton(damping=1e-4, solver=solver, gradient="retained").forget(run, None, IDS, KEY)


def test_a_scale_too_small_is_refused_with_the_top_eigenvalue():
    run = trained(network())
    lissa = cu.LiSSA(depth=20, repeats=2, scale=0.05)
    with pytest.raises(cu.Diverged, match=r"top eigenvalue about .* exceeds 2·scale = 0.1"):
        cu.Newton(damping=1.0, solver=lissa).forget(run, None, IDS, KEY)


def test_gauss_newton_needs_a_loss_of_outputs():
    with pytest.raises(cu.BadInput, match="hessian"):
        cu.Newton(operator="ggn").forget(trained(ridge()), None, IDS, KEY)


def test_bad_settings_are_refused():
    for settings in (
        {"damping": -1.0},
        {"damping": "much"},
        {"solver": 5},
        {"gradient": "full"},
        {"operator": "kfac"},
        {"steps": 0},
        {"fallback": "lissa"},
        {"inverse": "exact"},
        {"assumed": "mlp"},
        {"assumed": True},
        {"steps": 2, "gradient": "forgotten"},
        {"damping": float("nan")},
    ):
        with pytest.raises(cu.BadInput):
            cu.Newton(**settings)


def test_each_form_names_what_it_is_compared_with():
    run = trained(ridge())
    for form, word in (("difference", "replayed"), ("retained", "minimiser"), ("forgotten", "minimiser")):
        update = cu.Newton(solver=cu.Dense(), gradient=form).forget(run, None, IDS, KEY)
        assert word in update.guarantee.reference


def test_a_second_request_starts_from_the_first_and_knows_who_is_gone():
    problem = ridge()
    for denominator in ("batch", "retained"):
        run = trained(problem, weight_decay=0.1, denominator=denominator)
        left = np.setdiff1d(np.arange(24), [0, 1])
        start = minimum(problem, left, 0.1, 24 if denominator == "batch" else 22)
        after = run.minus([0, 1], {"w": jnp.asarray(start)})
        update = cu.Newton(damping=0.0, solver=cu.Dense()).forget(after, None, IDS, KEY)
        rows = np.setdiff1d(left, IDS)
        truth = minimum(problem, rows, 0.1, 24 if denominator == "batch" else len(rows))
        assert np.linalg.norm(update.params["w"] - truth) < 1e-10


def test_what_is_not_a_number_is_never_silently_returned():
    run = trained(ridge())
    broken = replace(run, params={"w": jnp.full(5, jnp.nan)})
    for solver in (cu.CG(), cu.Dense()):
        with pytest.raises(cu.Diverged):
            cu.Newton(solver=solver).forget(broken, None, IDS, KEY)
    schedule = cu.Schedule(np.arange(3, dtype=np.int32)[None], np.ones((1, 3)), np.ones(1))
    few = cu.fit(run.problem, cu.Recipe(denominator="retained", weight_decay=0.1), run.start, schedule)
    with pytest.raises(cu.BadInput, match="no example that training visited"):
        cu.Newton(solver=cu.Dense()).forget(few, None, [0, 1, 2], KEY)


def test_examples_the_schedule_never_visits_are_not_part_of_the_risk():
    problem, rows = ridge(), np.arange(16)
    schedule = cu.Schedule(rows.reshape(2, 8).astype(np.int32), np.ones((2, 8)), np.full(2, 0.1))
    for denominator, whole in (("batch", 16), ("retained", 13)):
        recipe = cu.Recipe(weight_decay=0.1, denominator=denominator)
        run = cu.fit(problem, recipe, problem.init(KEY), schedule)
        run = replace(run, params={"w": jnp.asarray(minimum(problem, rows, 0.1, 16))})
        truth = minimum(problem, np.setdiff1d(rows, IDS), 0.1, whole)
        for gradient in ("difference", "retained", "forgotten"):
            method = cu.Newton(damping=0.0, solver=cu.Dense(), gradient=gradient)
            assert np.linalg.norm(method.forget(run, None, [*IDS, 20], KEY).params["w"] - truth) < 1e-10
