"""What keeps Newton sound on deep networks: measured damping and scale, steps, fallback, and sentences that help."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.training.curvature import dense, hvp
from tests.cases import KEY, classes, gap, network, ridge, trained, vector

IDS = [2, 5, 11]


@pytest.fixture(scope="module")
def raw():
    """A network hardly trained: its Hessian has clearly negative eigenvalues."""
    return trained(network(), epochs=1)


def spectrum(run, ids):
    weights = np.where(np.isin(np.arange(30), ids), 0, 1 / 30)
    product = jax.jit(
        lambda key: dense(lambda v, _: hvp(run.problem, run.params, v, run.problem.data, weights), run.params, key)
    )
    return np.linalg.eigvalsh(product(KEY))


def test_measured_damping_is_the_inverse_rate_time_where_the_operator_is_positive():
    for optimizer, speed in (("sgd", 1.0), ("momentum", 10.0)):
        run = trained(network(), optimizer=optimizer, learning_rate=0.01)
        update = cu.Newton(operator="ggn").forget(run, None, IDS, KEY)
        assert update.cost["damping"] == pytest.approx(1 / (speed * float(run.schedule.rates.sum())), rel=1e-6)
    adam = cu.Newton(operator="ggn").forget(trained(network(), optimizer="adam"), None, IDS, KEY).cost["damping"]
    retained = cu.Newton(operator="ggn", gradient="retained").forget(run, None, IDS, KEY).cost["damping"]
    assert 0 < adam < 0.05 and 0 < retained < 0.05


def test_measured_damping_lifts_a_negative_spectrum(raw):
    low = spectrum(raw, IDS)[0]
    assert low < -0.01
    slow = replace(raw, schedule=replace(raw.schedule, rates=raw.schedule.rates * 1e6))  # so that rate-time is no floor
    update = cu.Newton(solver=cu.Dense()).forget(slow, None, IDS, KEY)
    assert update.cost["damping"] == pytest.approx(-1.5 * low, rel=1e-3)


def test_an_indefinite_hessian_under_lissa_is_refused_with_the_damping_it_needs(raw):
    low = spectrum(raw, IDS)[0]
    method = cu.Newton(damping=-0.5 * low, solver=cu.LiSSA(depth=3, repeats=1))
    with pytest.raises(cu.Diverged, match=r"indefinite: its smallest eigenvalue is at most .* raise damping above"):
        method.forget(raw, None, IDS, KEY)
    cu.Newton(damping=-1.1 * low, solver=cu.LiSSA(depth=3, repeats=1)).forget(raw, None, IDS, KEY)


@pytest.mark.parametrize("solver", [cu.CG(), cu.Dense()])
def test_a_given_damping_that_fails_is_answered_with_the_measured_one_that_succeeds(raw, solver):
    measured = cu.Newton(solver=solver).forget(raw, None, IDS, KEY).cost["damping"]
    offer = rf"\(measured: without damping=, the same step takes {measured:.4g} and succeeds\)$"
    with pytest.raises(cu.Diverged, match=offer):
        cu.Newton(damping=1e-4, solver=solver).forget(raw, None, IDS, KEY)


def test_no_damping_is_offered_where_the_measured_one_fails_too(raw):
    method = cu.Newton(damping=1e-4, solver=cu.LiSSA(depth=20, repeats=2, scale=1e-3))
    with pytest.raises(cu.Diverged) as refused:
        method.forget(raw, None, IDS, KEY)
    assert "succeeds" not in str(refused.value)


@pytest.mark.parametrize("key", [0, jax.random.PRNGKey(0), jax.random.split(KEY), None])
@pytest.mark.parametrize(
    "method",
    [
        cu.Newton(),
        cu.NewtonStep(damping=1.0),
        cu.FineTune(),
        cu.FisherForgetting(),
        cu.DiagonalInfluence(),
        cu.LCODEC(),
    ],
)
def test_a_key_without_a_type_is_refused(raw, method, key):
    with pytest.raises(cu.BadInput, match="typed key"):
        method.forget(raw, None, IDS, key)


def test_the_fallback_solves_what_the_recursion_could_not():
    run = trained(network())
    lissa = cu.LiSSA(depth=20, repeats=2, scale=0.05)
    exact = cu.Newton(damping=1.0, solver=cu.Dense()).forget(run, None, IDS, KEY)
    for fallback in ("cg", "dense"):
        update = cu.Newton(damping=1.0, solver=lissa, fallback=fallback).forget(run, None, IDS, KEY)
        assert gap(update.params, exact.params) < 1e-5 and update.cost["fallback"] == 1
    assert "fallback" not in exact.cost


def test_a_fallback_that_cannot_help_says_why(raw):
    method = cu.Newton(damping=1e-4, solver=cu.LiSSA(depth=3, repeats=1), fallback="dense")
    with pytest.raises(cu.Diverged, match="not positive definite"):
        method.forget(raw, None, IDS, KEY)


def test_fewer_examples_left_than_a_batch_is_refused():
    run = trained(ridge())
    method = cu.Newton(damping=1.0, solver=cu.LiSSA(depth=3, repeats=1, batch_size=10))
    with pytest.raises(cu.BadInput, match=r"9 examples .* fewer than one mini-batch of 10.*retrain"):
        method.forget(run, None, list(range(15)), KEY)
    method.forget(run, None, list(range(14)), KEY)


def test_the_scale_and_the_depth_the_spectrum_asks_for_are_reported():
    run = trained(network(), weight_decay=0.1)
    cost = cu.Newton(damping=0.5, operator="ggn", solver=cu.LiSSA(depth=50, repeats=2)).forget(run, None, IDS, KEY).cost
    assert cost["scale"] > 0.5
    gap_seen = 0.6  # damping and decay; Gauss-Newton has directions of no curvature
    assert cost["depth_for_1%"] == pytest.approx(cu.LiSSA.depth_for(gap_seen, cost["scale"]), rel=0.05)


def test_steps_are_newton_s_method():
    """Repeated on the retained gradient they converge quadratically, to the retained minimum."""
    problem = cu.classification(cu.models.Linear(classes=3, dtype=jnp.float64), classes())
    run = trained(problem, weight_decay=0.3)
    method = cu.Newton(damping=0.0, solver=cu.Dense(), gradient="retained")
    steps = [replace(method, steps=k).forget(run, None, IDS, KEY).params for k in (1, 2, 3, 8)]
    errors = [gap(p, steps[-1]) for p in steps[:-1]]
    assert errors[0] > 1e-4 and errors[1] < 3 * errors[0] ** 2 and errors[2] < 3 * errors[1] ** 2 + 1e-14


def test_a_difference_step_repeated_keeps_the_original_gradient():
    """Its fixed point is where the retained gradient equals the one training left."""
    run = trained(network(), weight_decay=0.3, epochs=10)
    update = cu.Newton(damping=0.0, solver=cu.Dense(), steps=8).forget(run, None, IDS, KEY)

    def slope(params, ids):
        left = run.problem.data[np.setdiff1d(np.arange(30), ids)]
        return vector(jax.grad(lambda p: run.problem.losses(p, left).sum() / 30)(params)) + 0.3 * vector(params)

    np.testing.assert_allclose(slope(update.params, IDS), slope(run.params, []), atol=1e-12)
    once = cu.Newton(damping=0.0, solver=cu.Dense()).forget(run, None, IDS, KEY)
    assert np.linalg.norm(slope(once.params, IDS) - slope(run.params, [])) > 1e-9
