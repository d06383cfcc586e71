"""The float64 gradient of the retained risk: retraining's own, computed to the rounding that is claimed."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.bounds import linear_loss, residual_bound
from certunl.bounds.linear_risk import linear_risk
from certunl.training.risk import Risk
from tests.cases import claimed, classes, network, ridge, trained, vector

GONE = np.array([1, 4, 17])


def made(kind="softmax", seed=0, n=40, dtype=jnp.float64, bias=True, bound=None, l2=0.0, **recipe):
    data = classes(n=n, seed=seed)
    if kind == "softmax":
        problem = cu.classification(cu.models.Linear(3, bias=bias, dtype=dtype, bound=bound), data, l2=l2)
    else:
        targets = np.random.default_rng(seed).normal(size=(n, 2))
        model = cu.models.Linear(2, bias=bias, dtype=dtype, bound=bound)
        problem = cu.regression(model, cu.Dataset(data.x, targets), l2=l2)
    return trained(problem, seed, **{"weight_decay": 0.1, "epochs": 1} | recipe)


def moved(params, size, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + size * rng.normal(size=leaf.shape), params)


@pytest.mark.parametrize("kind", ["softmax", "least squares"])
@pytest.mark.parametrize("denominator", ["batch", "retained"])
@pytest.mark.parametrize("rest", [{}, {"bias": False, "l2": 0.3}, {"bound": 0.8, "l2": 0.3}])
def test_the_gradient_is_that_of_the_risk_retraining_minimises(kind, denominator, rest, monkeypatch):
    monkeypatch.setattr(linear_loss, "_NUMBERS", 4 * 7)  # blocks of seven rows
    run = made(kind, denominator=denominator, **rest)
    seen = run.schedule.replace(weights=run.schedule.weights.at[:2].set(0).at[2:].mul(2.0))  # not everyone, and twice
    run = run.replace(schedule=seen, params=moved(run.params, 0.5))
    mask = run.retained(GONE)
    risk = linear_risk(run, mask)
    assert len(risk.kept) < 37 and (risk.mask() == np.asarray(mask & Risk(run).visited())).all()
    expected = jax.jit(lambda run, mask: Risk(run).gradient(run.params, mask))(run, mask)
    slope = risk.slope(run.params)
    np.testing.assert_allclose(vector(slope.gradient), vector(expected), rtol=0, atol=1e-12)
    assert slope.norm == pytest.approx(np.linalg.norm(vector(expected)), rel=1e-12)
    tilt = jax.tree.map(jnp.ones_like, run.params)
    np.testing.assert_allclose(
        vector(risk.slope(run.params, tilt).gradient), vector(expected) + 1 / risk.divisor, atol=1e-12
    )


def exact(run, mask, params):
    """The same gradient in extended precision, the inputs shortened in it as well."""
    wide, problem = np.longdouble, run.problem
    model, risk = problem.losses.model, linear_risk(run, mask)
    x = np.asarray(problem.data.x)[risk.kept].astype(model.dtype).astype(wide)
    if model.bound is not None:
        x *= np.minimum(wide(1), wide(model.bound) / np.sqrt(np.sum(x**2, axis=1, keepdims=True)))
    layer = {key: np.asarray(leaf).astype(wide) for key, leaf in params["Dense_0"].items()}
    z, y = x @ layer["kernel"] + layer["bias"], np.asarray(problem.data.y)[risk.kept]
    if y.ndim == 1:
        z = np.exp(z - z.max(1, keepdims=True))
        z = z / z.sum(1, keepdims=True) - np.eye(3)[y]
    else:
        z = z - y
    mu = wide(run.recipe.weight_decay) + wide(problem.losses.l2) * wide(len(x)) / risk.divisor
    data = {"kernel": x.T @ z, "bias": z.sum(0)}
    return np.concatenate([(data[k] / risk.divisor + mu * layer[k]).ravel() for k in ("bias", "kernel")])


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="no extended precision on this machine")
@pytest.mark.parametrize("kind", ["softmax", "least squares"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_rounding_covers_the_distance_to_extended_precision(kind, dtype):
    worst = 0.0
    for seed in range(20):
        run = made(kind, seed, dtype=dtype, bound=None if seed % 2 else 0.7, l2=0.1 * (seed % 2))
        params = jax.tree.map(lambda leaf: leaf.astype(dtype), moved(run.params, 10.0 ** (seed % 5 - 2), seed))
        mask = run.retained(GONE)
        slope, truth = linear_risk(run, mask).slope(params), exact(run, mask, params)
        off = float(np.linalg.norm((vector(slope.gradient).astype(np.longdouble) - truth).astype(float)))
        assert 0 < off <= slope.rounding < 1e-9
        assert slope.norm >= np.sqrt(np.sum(vector(slope.gradient).astype(np.longdouble) ** 2))
        worst = max(worst, off / slope.rounding)
    assert 1e-4 < worst < 0.5
    heavy = run.replace(recipe=replace(run.recipe, weight_decay=1e7))  # the regulariser's own rounding is what is left
    slope, truth = linear_risk(heavy, mask).slope(params), exact(heavy, mask, params)
    off = float(np.linalg.norm((vector(slope.gradient).astype(np.longdouble) - truth).astype(float)))
    assert 0.02 * slope.rounding < off <= slope.rounding


def test_the_gradient_is_that_of_the_point_released_and_a_point_outside_the_ball_pays_for_it(monkeypatch):
    run = made(radius=0.3)
    risk, far = linear_risk(run, run.present), moved(run.params, 5.0)
    projected = claimed(far, radius=0.3).projected()
    assert risk.slope(far).norm == risk.slope(projected).norm
    inside = risk.slope(jax.tree.map(lambda leaf: 0.9 * leaf, projected)).rounding
    assert inside < 1e-12
    monkeypatch.setattr("certunl.bounds.linear_risk.projection_l2_ball", lambda tree, radius: tree)
    out = np.linalg.norm(vector(far)) - 0.3
    top = risk.loss.smoothness + 0.1
    assert risk.slope(far).rounding == pytest.approx((top + 0.1) * out)


def test_what_has_no_closed_form_and_what_is_not_strongly_convex_is_refused():
    for run, sentence in (
        (trained(network(), weight_decay=0.1), "closed form needs"),
        (trained(ridge(), weight_decay=0.1), "closed form needs"),
        (made(weight_decay=0.0), "needs weight decay or l2|without weight decay or l2"),
    ):
        with pytest.raises(cu.BadInput, match=sentence):
            linear_risk(run, run.present)
    run = made()
    unseen = replace(run, schedule=run.schedule.replace(weights=run.schedule.weights * 0))
    with pytest.raises(cu.BadInput, match="nothing to retain"):
        linear_risk(unseen, run.present)
    with pytest.raises(cu.BadInput, match="strong convexity"):
        residual_bound(residual=1.0, rounding=0.0, strong_convexity=0.0)


def test_the_convexity_known_before_the_request_is_never_above_the_true_one():
    for denominator, whole in (("batch", 0.3 * 37 / 40), ("retained", 0.3)):
        run = made(l2=0.3, weight_decay=0.0, denominator=denominator)
        risk = linear_risk(run, run.retained(GONE))
        assert risk.least_convexity == pytest.approx(whole) == risk.strong_convexity
        part = run.replace(schedule=jax.tree.map(lambda a: a[:4], run.schedule))
        visited = set(np.asarray(part.schedule.indices[np.asarray(part.schedule.weights) != 0]).tolist())
        stranger = next(i for i in range(40) if i not in visited)
        for ids in ([stranger], [min(visited)], [stranger, min(visited)]):
            risk = linear_risk(part, part.retained(np.array(ids)))
            assert 0 < risk.least_convexity <= risk.strong_convexity
        same = {linear_risk(part, part.retained(np.array([i]))).least_convexity for i in (stranger, min(visited))}
        assert len(same) == 1  # nobody can tell from the noise whether who asked was trained on
