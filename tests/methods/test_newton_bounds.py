"""Where a Newton update carries a proved distance."""

from dataclasses import replace

import jax
import pytest

import certunl as cu
from certunl.methods._newton_verified import verify
from tests.cases import KEY, network, ridge, trained

IDS = [2, 5, 11]
CONSTANTS = cu.NewtonConstants(
    smoothness=1.0, hessian_lipschitz=1.0, smallest_eigenvalue=0.0, gradient_residual=0.0, failure_probability=0.01
)
LISSA = cu.LiSSA(depth=20, repeats=1, scale=6.0)  # deep enough: 2·3·ln 12 = 14.9 for a gap of 2


def bounded(run, **settings):
    return cu.Newton(**{"damping": 2.0, "assumed": CONSTANTS, "solver": LISSA} | settings).forget(run, None, IDS, KEY)


def test_no_bound_where_the_theorem_does_not_apply():
    inside, exact = trained(network(), radius=5.0), cu.CG()
    assert bounded(inside, solver=exact).bound is not None
    assert bounded(inside, solver=exact, assumed=None).bound is None
    assert bounded(trained(network()), solver=exact).bound is None
    assert bounded(inside, solver=exact, operator="ggn").bound is None
    shallow = cu.LiSSA(depth=10, repeats=1, scale=6.0)
    assert bounded(inside, solver=shallow, inverse="printed").bound is None
    assert bounded(inside, solver=shallow).bound > bounded(inside).bound  # this form counts the bias
    left_the_ball = replace(inside, params=jax.tree.map(lambda p: 10 * p, inside.params))
    assert bounded(left_the_ball, damping=50.0, solver=exact).bound is None


def test_no_bound_where_the_scale_was_seen_below_the_top_eigenvalue():
    run = trained(ridge(), radius=5.0)
    constants = replace(CONSTANTS, smoothness=20.0)
    method = cu.Newton(damping=9.0, solver=cu.LiSSA(depth=20, repeats=1, scale=6.0), assumed=constants)
    assert method.forget(run, None, IDS, KEY).bound is None


def test_the_bound_counts_the_gradient_a_form_leaves_out():
    run = trained(network(), radius=5.0)
    retained, difference = (bounded(run, gradient=g, inverse="printed") for g in ("retained", "difference"))
    assert retained.guarantee.every_request and not difference.guarantee.every_request
    assert difference.bound > retained.bound
    assert retained.guarantee.failure_probability == 0.01
    release = cu.certify(retained, cu.Budget(epsilon=1.0, delta=1e-5))
    assert release.certificate.verdict == "VACUOUS" and release.certificate.total_delta == 0.01001


def test_a_deterministic_solver_is_bounded_by_its_residual_and_cannot_fail():
    update = bounded(trained(network(), radius=5.0), solver=cu.CG(tol=1e-2), gradient="retained")
    residual = {a.symbol: a.value for a in update.guarantee.assumptions}["residual"]
    assert residual > 0 and update.bound == pytest.approx((10 * (5 + 2) + residual) / 2)
    assert update.guarantee.failure_probability == 0 and not update.guarantee.every_request


def test_a_bound_with_a_gradient_residual_names_it():
    guarantee = bounded(trained(ridge(), radius=5.0), solver=cu.Dense()).guarantee
    assert "gradient norm <= G = 0" in guarantee.reference and guarantee.sense == "stationary"


def test_a_solution_that_leaves_more_than_three_times_the_right_side_is_refused():
    facts = dict.fromkeys(("norm", "gradient", "highest", "lowest", "damping", "along"), 1.0)
    verify(facts | {"error": 3.0})
    with pytest.raises(cu.Diverged, match="times the right side, while x = 0 has 1"):
        verify(facts | {"error": 3.01})
