"""What a small gradient proves: never exceeded, attained by quadratics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.bounds import residual_after_step, residual_before_step, residual_bound
from certunl.bounds.linear_risk import linear_risk
from certunl.training.risk import Risk
from tests.bounds.test_linear_risk import GONE, made, moved
from tests.cases import claimed, trained, vector


@jax.jit
def newton(w, run, mask):
    """(the gradient of `Risk`, which `linear_risk` is held to, the flat w after a dense Newton step)."""
    unravel = jax.flatten_util.ravel_pytree(run.params)[1]

    def slope(w):
        return jax.flatten_util.ravel_pytree(Risk(run).gradient(unravel(w), mask))[0]

    return slope(w), w - jnp.linalg.solve(jax.jacobian(slope)(w), slope(w))


def minimiser(run, mask):
    w = jax.flatten_util.ravel_pytree(run.params)[0]
    for _ in range(20):
        slope, w = newton(w, run, mask)
    assert np.linalg.norm(slope) < 1e-13
    return np.asarray(w)


@pytest.mark.parametrize("kind", ["softmax", "least squares"])
def test_the_minimiser_lies_within_the_bound_and_not_much_nearer(kind):
    ratios = []
    for seed in range(12):
        run = made(kind, seed, **({"denominator": "retained", "weight_decay": 0.02} if seed % 2 else {"l2": 0.3}))
        mask = run.retained(GONE)
        truth, risk = minimiser(run, mask), linear_risk(run, mask)
        for point in (run.params, moved(run.params, 0.01, seed), moved(run.params, 1.0, seed)):
            slope = risk.slope(point)
            bound = residual_bound(residual=slope.norm, rounding=slope.rounding, strong_convexity=risk.strong_convexity)
            ratios.append(np.linalg.norm(vector(point) - truth) / bound)
    assert 0.2 < max(ratios) <= 1, max(ratios)


def test_the_bound_is_attained_along_the_softest_eigenvector_so_that_half_of_it_is_caught():
    x = np.outer(np.arange(1.0, 9.0), [3.0, 4.0, 0.0])  # nothing in the data curves the risk along the last input
    problem = cu.regression(cu.models.Linear(1, bias=False, dtype=jnp.float64), cu.Dataset(x, np.arange(8.0)))
    run = trained(problem, weight_decay=0.2, denominator="retained")
    mask = run.retained(np.array([3]))
    truth = minimiser(run, mask)
    soft = {"Dense_0": {"kernel": jnp.asarray(truth + 0.7 * np.array([0.0, 0.0, 1.0]))[:, None]}}
    slope = linear_risk(run, mask).slope(soft)
    bound = residual_bound(residual=slope.norm, rounding=slope.rounding, strong_convexity=0.2)
    distance = np.linalg.norm(vector(soft) - truth)
    assert distance == pytest.approx(bound, rel=1e-9) and distance <= bound and distance > bound / 2
    stiff = {"Dense_0": {"kernel": jnp.asarray(truth + 0.7 * np.array([0.6, 0.8, 0.0]))[:, None]}}
    assert linear_risk(run, mask).slope(stiff).norm > 100 * slope.norm


def test_over_a_ball_too_the_minimiser_is_within_the_bound_for_every_point_of_the_ball():
    run = made(radius=0.3, weight_decay=0.1)
    mask = run.retained(GONE)
    risk = linear_risk(run, mask)
    w, unravel = jax.flatten_util.ravel_pytree(run.params)
    for _ in range(400):
        w = w - 0.3 * newton(w, run, mask)[0]
        w = w * min(1, 0.3 / np.linalg.norm(w))
    assert np.linalg.norm(minimiser(run, mask)) > 0.31  # the ball is active
    ratios = []
    for seed in range(30):
        point = unravel(
            jnp.asarray(np.asarray(w) + np.random.default_rng(seed).normal(size=w.shape) * 10 ** -(seed / 10))
        )
        measured, inside = risk.slope(point), vector(claimed(point, radius=0.3).projected())
        ratios.append(np.linalg.norm(inside - np.asarray(w)) / (measured.most / risk.strong_convexity))
    assert 0.05 < max(ratios) <= 1, max(ratios)
    assert risk.reference == "the minimiser of the retained risk over the ball of radius 0.3"


def softmax_parts(x, w):
    z = x @ w
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def step(loss, x, y, w, mu, b):
    """(gradient after one exact Newton step on the retained sum, ‖z_i‖, ‖s‖, ‖X s‖) from `w`, with <b, w>."""
    n, c = len(x), w.shape[1]

    def both(w):
        if loss == "binary":
            s = 1 / (1 + np.exp(-(2 * y - 1) * (x @ w)[:, 0]))
            e, h = (-(2 * y - 1) * (1 - s))[:, None], (s * (1 - s))[:, None, None]
        else:
            p = softmax_parts(x, w)
            e, h = p - np.eye(c)[y], p[:, :, None] * np.eye(c) - p[:, :, None] * p[:, None, :]
        g = (x.T @ e).ravel() + mu * n * w.ravel() + b.ravel()
        return g, np.einsum("ni,nab,nj->iajb", x, h, x).reshape(w.size, w.size) + mu * n * np.eye(w.size)

    g, h = both(w)
    s = -np.linalg.solve(h, g)
    z = x @ s.reshape(w.shape)
    return both(w + s.reshape(w.shape))[0], np.linalg.norm(z, axis=1), np.linalg.norm(s), np.linalg.norm(z)


@pytest.mark.parametrize("loss", ["softmax", "binary"])
def test_one_newton_step_leaves_at_most_the_planned_gradient(loss):
    sharp, papers, rng = [], [], np.random.default_rng(0)
    for trial in range(60):
        n, d, c = int(rng.integers(2, 30)), int(rng.integers(1, 5)), 1 if loss == "binary" else int(rng.integers(2, 5))
        x = rng.normal(size=(n, d))
        x = x / np.linalg.norm(x, axis=1, keepdims=True) if trial % 2 else np.tile(x[0], (n, 1)) / np.linalg.norm(x[0])
        y, w = rng.integers(0, max(c, 2), n), rng.normal(size=(d, c)) * 10 ** rng.uniform(-1, 1)
        end, z, s, moved_by = step(loss, x, y, w, 10 ** rng.uniform(-3, 0), rng.normal(size=(d, c)))
        spectral = np.linalg.norm(x, 2)
        bound = residual_after_step(loss=loss, left=0.0, spectral=spectral, changes=z)
        loose = residual_after_step(loss=loss, left=0.0, spectral=spectral, changes=[np.sqrt(s * moved_by)])
        paper = spectral * s * moved_by / 4
        assert np.linalg.norm(end) <= bound + 1e-12 and bound <= loose * (1 + 1e-12) and loose < paper
        sharp.append(np.linalg.norm(end) / bound)
        papers.append(np.linalg.norm(end) / paper)
    assert 0.3 < max(sharp) <= 1 and max(papers) < 0.5, (max(sharp), max(papers))


@pytest.mark.parametrize(("loss", "logits"), [("softmax", [0.0, 1.3169578969]), ("binary", [1.3169578969])])
def test_the_planned_gradient_is_attained_where_the_third_derivative_is_largest(loss, logits):
    x, y, w = np.ones((4, 1)), np.array([0, 1, 1, 0]), np.array([logits])  # probabilities (3 ± √3)/6
    size = 1e-3 * np.array([[1.0, -1.0]])[:, : len(logits)]
    s = np.exp(logits) / (1 + np.exp(logits[0])) if loss == "binary" else np.exp(logits) / np.sum(np.exp(logits))
    errors = 4 * s - 2  # of the four rows together
    b = size - errors - 0.01 * 4 * w
    end, z, _, _ = step(loss, x, y, w, 0.01, b)
    bound = residual_after_step(loss=loss, left=0.0, spectral=2.0, changes=z)
    assert 0.99 < np.linalg.norm(end) / bound <= 1.001


def test_what_the_solver_leaves_is_added_and_the_plan_before_any_step_is_newton_s_closed_form():
    known = {"loss": "binary", "spectral": 2.0, "changes": [1.0, 2.0]}
    assert residual_after_step(left=0.5, **known) - residual_after_step(left=0.0, **known) == 0.5
    table = {(0.1, 1): "0.0011", (0.1, 10): "0.11", (0.01, 10): "1.1e+02", (0.001, 100): "1.3e+07"}
    for (mu, forgotten), bound in table.items():
        left = 1000 - forgotten
        plan = residual_before_step(
            loss="softmax", norm=1.0, gradient=8**0.5, forgotten=forgotten, retained=left, strong_convexity=mu
        )
        assert f"{plan / (mu * left):.2g}" == bound
    with pytest.raises(cu.BadInput, match="loss must be one of softmax, binary"):
        residual_after_step(loss="hinge", left=0.0, spectral=1.0, changes=[1.0])
