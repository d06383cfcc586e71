"""The bound of Zhang et al. at the published inputs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import certunl as cu
from certunl.bounds import dimension_free_error, newton_bound


def constants(**given_):
    settings = {
        "smoothness": 1.0,
        "hessian_lipschitz": 1.0,
        "smallest_eigenvalue": 0.0,
        "gradient_residual": 0.0,
        "failure_probability": 0.1,
    }
    return cu.NewtonConstants(**settings | given_)


@pytest.mark.parametrize(
    ("radius", "damping", "dimension", "bound"),
    [(21, 2000, 11_171_274, 46.512), (10, 200, 26_506, 27.904), (20, 200, 1_620_010, 59.538)],
)
def test_the_published_inputs_give_the_published_bounds_and_all_exceed_doing_nothing(radius, damping, dimension, bound):
    got, assumptions = newton_bound(constants(), radius=radius, damping=damping, dimension=dimension)
    assert got == pytest.approx(bound, abs=1e-3)
    assert got > 2 * radius
    assert {a.symbol: a.status for a in assumptions}["M"] == "given"


def test_both_terms_by_hand():
    got, _ = newton_bound(constants(gradient_residual=0.5), radius=3.0, damping=7.0, dimension=100, shift=0.25)
    inverse = (16 * math.sqrt(math.log(1000)) / 7 + 1 / 16) * (6 + 0.5 + 0.25)
    assert got == pytest.approx(inverse + (6 * (3 + 7) + 0.5 + 0.25) / 7, rel=1e-14)


@given(st.floats(0.1, 100), st.floats(0.01, 1e4), st.floats(0, 1), st.floats(0.5, 5))
def test_it_grows_with_every_constant_and_is_never_below_2c_without_convexity(radius, damping, residual, lipschitz):
    def bound(**given_):
        settings = {"gradient_residual": residual, "hessian_lipschitz": lipschitz}
        return newton_bound(constants(**settings | given_), radius=radius, damping=damping, dimension=1000)[0]

    base = bound()
    assert base >= 2 * radius
    assert base <= bound(gradient_residual=residual + 1)
    assert base <= bound(hessian_lipschitz=lipschitz + 1)
    assert base <= bound(smoothness=2.0)
    assert base <= bound(smallest_eigenvalue=-damping / 2)


def test_impossible_constants_are_refused():
    with pytest.raises(cu.BadInput, match="damping"):
        newton_bound(constants(smallest_eigenvalue=-3.0), radius=1, damping=2.0, dimension=5)
    for wrong in ({"smoothness": -1.0}, {"failure_probability": 0.0}, {"smallest_eigenvalue": math.nan}):
        with pytest.raises(cu.BadInput):
            constants(**wrong)


def test_the_dimension_free_error_is_bias_and_spread_by_hand():
    got, rests = dimension_free_error(v=2.0, gap=0.5, scale=4.0, depth=7, repeats=3, failure_probability=0.02)
    assert got == pytest.approx(2 * (0.875**8 / 0.5 + 2 * math.sqrt(2 * math.log(100) / 3) / 0.5), rel=1e-14)
    assert {a.symbol: a.value for a in rests} == {"v": 2.0, "S": 4.0, "rho": 0.02}
    beyond = dimension_free_error(v=2.0, gap=0.5, scale=0.4, depth=7, repeats=3, failure_probability=0.02)[0]
    assert beyond == pytest.approx(8 * math.sqrt(2 * math.log(100) / 3), rel=1e-14)  # no negative power of the bias
