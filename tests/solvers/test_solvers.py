"""Solvers on matrices of known spectrum, and what they refuse."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.base import SampledOperator
from tests.cases import KEY


def matrix(eigenvalues, seed=0):
    """A symmetric matrix of this spectrum, as array and as an operator on a two-leaf pytree."""
    d = len(eigenvalues)
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]
    a = jnp.asarray(q * np.asarray(eigenvalues) @ q.T)

    def operator(v, key):
        image = a @ jnp.concatenate([v["a"], v["b"]])
        return {"a": image[:2], "b": image[2:]}

    return a, operator


def right_side(d):
    b = jnp.asarray(np.random.default_rng(1).normal(size=d))
    return b, {"a": b[:2], "b": b[2:]}


def flat(tree):
    return np.concatenate([tree["a"], tree["b"]])


SPECTRUM = np.geomspace(0.01, 10, 12)


@pytest.mark.parametrize("solver", [cu.Dense(), cu.CG(tol=1e-12)], ids=["dense", "cg"])
def test_exact_solvers_invert_a_known_spectrum(solver):
    a, operator = matrix(SPECTRUM)
    b, tree = right_side(12)
    solution = jax.jit(lambda b: solver(operator, b, KEY))(tree)
    solver.verify(solution)
    np.testing.assert_allclose(flat(solution.x), np.linalg.solve(a, b), rtol=1e-9)
    assert solution.residual < 1e-11
    assert SPECTRUM[0] * (1 - 1e-9) <= solution.lowest <= solution.highest <= SPECTRUM[-1] * (1 + 1e-9)


def test_dense_reports_the_whole_spectrum():
    solution = cu.Dense()(matrix(SPECTRUM)[1], right_side(12)[1], KEY)
    np.testing.assert_allclose([solution.lowest, solution.highest], SPECTRUM[[0, -1]], rtol=1e-10)


def test_cg_needs_one_step_per_distinct_eigenvalue_and_stops_on_the_residual():
    _, operator = matrix([1.0] * 4 + [3.0] * 4 + [7.0] * 4)
    exact = cu.CG(tol=1e-10)(operator, right_side(12)[1], KEY)
    assert exact.steps == 3
    loose = cu.CG(tol=0.2)(matrix(SPECTRUM)[1], right_side(12)[1], KEY)
    assert loose.steps < 12 and loose.residual <= 0.2
    short = cu.CG(tol=1e-12, max_steps=2)(matrix(SPECTRUM)[1], right_side(12)[1], KEY)
    assert short.steps == 2 and short.residual > 1e-3


@pytest.mark.parametrize("solver", [cu.Dense(), cu.CG()], ids=["dense", "cg"])
def test_exact_solvers_refuse_negative_curvature(solver):
    solution = solver(matrix([-0.5, *SPECTRUM[1:]])[1], right_side(12)[1], KEY)
    with pytest.raises(cu.Diverged, match="not positive definite"):
        solver.verify(solution)


@pytest.mark.parametrize("solver", [cu.CG(), cu.LiSSA(depth=3, repeats=1)], ids=["cg", "lissa"])
def test_a_right_side_of_zero_has_the_solution_zero(solver):
    solution = solver(matrix(SPECTRUM)[1], {"a": jnp.zeros(2), "b": jnp.zeros(10)}, KEY)
    solver.verify(solution)
    assert not flat(solution.x).any()


@pytest.mark.parametrize("depth", [1, 5, 40])
def test_lissa_is_the_truncated_neumann_sum(depth):
    a, operator = matrix(SPECTRUM)
    b, tree = right_side(12)
    solution = cu.LiSSA(depth=depth, repeats=2, scale=12.0)(operator, tree, KEY)
    contraction, term, total = np.eye(12) - np.asarray(a) / 12, np.asarray(b) / 12, np.asarray(b) / 12
    for _ in range(depth):
        term = contraction @ term
        total = total + term
    np.testing.assert_allclose(flat(solution.x), total, rtol=1e-12)


def test_the_mean_over_sampled_operators_is_the_closed_form_and_a_wrong_scale_is_not():
    low, high, scale, depth, repeats = 0.5, 3.5, 6.0, 3, 20_000
    eigenvector = {"a": jnp.array([1.0, 0.0]), "b": jnp.zeros(1)}

    def operator(v, key):  # on the first axis, 0.5 or 3.5 with equal chance: mean 2
        return jax.tree.map(lambda leaf: jnp.where(jax.random.bernoulli(key), low, high) * leaf, v)

    solver = cu.LiSSA(depth=depth, repeats=1, scale=scale)
    draws = jax.jit(jax.vmap(lambda k: solver(operator, eigenvector, k).x["a"][0]))(jax.random.split(KEY, repeats))
    error = draws.std() / np.sqrt(repeats)
    mean = (1 - (1 - 2 / scale) ** (depth + 1)) / 2
    assert abs(draws.mean() - mean) < 5 * error
    for wrong in (scale * 1.1, scale * 0.9):
        assert abs(draws.mean() - (1 - (1 - 2 / wrong) ** (depth + 1)) / 2) > 5 * error


@pytest.mark.parametrize("chains", ["vmap", "map"])
def test_lissa_draws_every_sample_before_the_first_step(chains):
    a, _ = matrix(SPECTRUM)
    tree = right_side(12)[1]

    def at(v, rows):
        image = jnp.zeros(12).at[rows].set(a[rows] @ flat_of(v))
        return {"a": image[:2], "b": image[2:]}

    def flat_of(v):
        return jnp.concatenate([v["a"], v["b"]])

    operator = SampledOperator(lambda key: jax.random.randint(key, (5,), 0, 12), at)
    solver = cu.LiSSA(depth=37, repeats=3, scale=12.0, chains=chains)
    scans = equations(jax.make_jaxpr(partial(solver, operator))(tree, KEY).jaxpr)
    (steps,) = [one for one in scans if one.primitive.name == "scan" and one.params["length"] == 37]
    assert "random" not in str(steps.params["jaxpr"]) and "threefry" not in str(steps.params["jaxpr"])
    # the same operator in one part draws the same samples, and at each step
    together, apart = (solver(one, tree, KEY).x for one in (lambda v, key: operator(v, key), operator))
    np.testing.assert_allclose(flat(together), flat(apart), rtol=1e-12)


def test_a_deep_recursion_does_not_keep_its_samples(monkeypatch):
    a, _ = matrix(SPECTRUM)
    tree = right_side(12)[1]

    def at(v, rows):
        image = a @ jnp.concatenate([v["a"], v["b"]]) * (1 + 1e-3 * rows.sum())
        return {"a": image[:2], "b": image[2:]}

    operator = SampledOperator(lambda key: jax.random.randint(key, (1000,), 0, 12), at)
    sizes, results = [], []
    for depth, together in ((600, 256), (6000, 256), (600, 600)):
        monkeypatch.setattr("certunl.solvers.lissa._DRAWN", together)
        program = jax.jit(partial(cu.LiSSA(depth=depth, repeats=2, scale=1e6), operator)).lower(tree, KEY).compile()
        sizes.append(program.memory_analysis().temp_size_in_bytes)
        results.append(flat(program(tree, KEY).x))
    assert sizes[1] < 1.5 * sizes[0] < 1.5 * sizes[2]
    np.testing.assert_allclose(results[0], results[2], rtol=1e-12)  # the same samples


def equations(program):
    """The equations of a program and of the programs within it."""
    for equation in program.eqns:
        yield equation
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def test_lissa_refuses_a_scale_below_half_the_top_eigenvalue():
    solver = cu.LiSSA(depth=30, repeats=1, scale=4.0)
    with pytest.raises(cu.Diverged, match=r"exceeds 2·scale = 8"):
        solver.verify(solver(matrix(SPECTRUM)[1], right_side(12)[1], KEY))


def test_lissa_notices_growth_along_a_negative_eigenvalue():
    solver = cu.LiSSA(depth=200, repeats=1, scale=12.0)
    with pytest.raises(cu.Diverged, match="the recursion grew"):
        solver.verify(solver(matrix([-1.0, *SPECTRUM[1:]])[1], right_side(12)[1], KEY))


def test_the_depth_the_lemma_asks_for():
    for scale, gap, depth in ((5e4, 200, 3453.9), (5e4, 2000, 230.3)):
        assert cu.bounds.lemma_depth(gap, scale) == pytest.approx(depth, abs=0.05)
    assert cu.bounds.lemma_depth(0.01, 1000.0) == pytest.approx(2.58e6, rel=1e-3)


def test_the_depth_for_a_bias_is_the_least_that_reaches_it():
    depth = cu.LiSSA.depth_for(0.5, 10.0, 0.01)
    assert (1 - 0.05) ** (depth + 1) <= 0.01 < (1 - 0.05) ** depth
    assert cu.LiSSA.depth_for(0.0, 10.0) == cu.LiSSA.depth_for(-1.0, 10.0) == float("inf")
    assert cu.LiSSA.depth_for(3.0, 2.0) == 0


def test_an_automatic_scale_is_safely_above_the_top_eigenvalue_and_converges():
    depth = int(cu.LiSSA.depth_for(SPECTRUM[0], 1.5 * SPECTRUM[-1], 1e-8))
    solver, (a, operator), (b, tree) = cu.LiSSA(depth=depth, repeats=1), matrix(SPECTRUM), right_side(12)
    solution = solver(operator, tree, KEY)
    solver.verify(solution)
    assert float(solution.scale) == pytest.approx(1.5 * SPECTRUM[-1], rel=1e-6)
    np.testing.assert_allclose(flat(solution.x), np.linalg.solve(a, b), rtol=1e-6)
    assert float(solution.lowest) == pytest.approx(SPECTRUM[0], rel=0.01)


def test_chains_one_after_another_are_the_chains_side_by_side():
    def operator(v, key):
        return jax.tree.map(lambda leaf: jax.random.uniform(key, (), leaf.dtype) * leaf, v)

    tree = right_side(12)[1]
    one, other = (cu.LiSSA(depth=9, repeats=4, scale=2.0, chains=c)(operator, tree, KEY) for c in ("vmap", "map"))
    np.testing.assert_allclose(flat(one.x), flat(other.x), rtol=1e-12)
    assert float(one.growth) == pytest.approx(float(other.growth), rel=1e-12)


def test_chains_are_mapped_where_the_operator_convolves():
    from certunl.solvers.lissa import _convolves

    def operator(v, key):
        return jax.lax.scan(lambda x, _: (jax.lax.conv(x, v, (1, 1), "SAME"), None), v, length=2)[0]

    def written_out(v, key):
        return jax.grad(lambda v: problem.risk(v, problem.data, jnp.ones(2)))(v)

    problem = cu.classification(cu.models.CNN(), cu.Dataset(np.zeros((2, 28, 28, 1)), np.arange(2)))
    assert _convolves(operator, jnp.ones((2, 2, 3, 3)), KEY)
    assert _convolves(written_out, jax.eval_shape(problem.init, KEY), KEY)
    assert not _convolves(matrix(SPECTRUM)[1], right_side(12)[1], KEY)


def test_bad_settings_are_refused():
    for make in (
        lambda: cu.CG(tol=0.0),
        lambda: cu.CG(max_steps=0),
        lambda: cu.LiSSA(depth=0),
        lambda: cu.LiSSA(scale=-1.0),
        lambda: cu.LiSSA(batch_size=0),
    ):
        with pytest.raises(cu.BadInput):
            make()
    with pytest.raises(cu.BadInput, match="use CG"):
        cu.Dense(max_dimension=3)(matrix(SPECTRUM)[1], right_side(12)[1], KEY)
