"""Certified removal as published: the noise on the objective proves less than the paper says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import certunl as cu
from tests.bounds.test_linear_risk import made
from tests.cases import KEY, trained, vector
from tests.methods.test_certified_removal import BUDGET, EVERY, IDS, verdict

NOISY = {"objective_noise": 3.0, "tolerance": 1e-5}


def test_the_perturbation_is_secret_fresh_and_of_the_stated_size():
    run = made(n=60)
    drawn = np.stack([vector(cu.PerturbedRemoval(**NOISY).prepare(run).b) for _ in range(30)])
    assert drawn.shape == (30, 15)
    assert len(np.unique(drawn, axis=0)) == 30  # single numbers may meet: they lie on the grid of exact noise
    for sigma, fits in ((3.0, True), (2.0, False), (4.5, False)):
        assert (abs(drawn.std() / sigma - 1) < 4 / np.sqrt(2 * drawn.size)) == fits


def left_over(update):
    """The gradient of the perturbed sum that may be left, as the certificate says it."""
    return {a.symbol: a.value for a in update.guarantee.assumptions}["tolerance"]


@pytest.mark.parametrize(("denominator", "divisor"), [("batch", 40), ("retained", 37)])
def test_the_published_steps_end_at_the_perturbed_minimiser_of_those_who_are_left(denominator, divisor):
    run = made(denominator=denominator)
    method = cu.PerturbedRemoval(**NOISY)
    prepared = method.prepare(run)
    update = method.forget(run, prepared, IDS, KEY)
    left = run.problem.data[np.delete(np.arange(40), IDS)]
    for params, data, n in ((prepared.params, run.problem.data, 40), (update.params, left, divisor)):
        g = jax.grad(run.problem.risk)(params, data, jnp.ones(len(data)))
        summed = vector(g) + 0.1 * n * vector(params) + vector(prepared.b)
        assert np.linalg.norm(summed) <= n * 1e-5
    assert (left_over(update), update.guarantee.own_noise) == (pytest.approx(divisor * 1e-5), 3.0)
    assert (vector(cu.certify(update, BUDGET).params) == vector(update.params)).all()  # nothing is added


def test_the_published_variant_is_never_proved_and_serves_one_release():
    run = made()
    method = cu.PerturbedRemoval(**NOISY)
    prepared = method.prepare(run)
    update = method.forget(run, prepared, IDS, KEY)
    certificate = cu.certify(update, cu.Budget(epsilon=1e3, delta=1e-5)).certificate
    ratio = left_over(update) / update.guarantee.own_noise
    said_by_the_paper = max(1e-3, ratio * np.sqrt(2 * np.log(1.5e5)))  # on a grid of epsilons from 0.001 on
    assert certificate.verdict == "CONDITIONAL"
    assert said_by_the_paper <= certificate.epsilon <= 1.03 * said_by_the_paper
    for said in (
        "perturbation b (false in general)",
        "learning algorithm's own release on the retained examples",
        "in the objective, none",
    ):
        assert said in str(certificate)
    for fixed in EVERY:
        if fixed.distance or fixed.sigma:
            with pytest.raises(cu.BadInput, match="own steps"):
                cu.certify(update, fixed)
    again = method.forget(run.minus(IDS, update.params), prepared, [9], KEY)
    assert again.bound is None and again.guarantee.own_noise == 0 and verdict(again) == "NOT CERTIFIED"


def test_the_published_claim_is_exceeded_by_the_method_itself():
    """Ten retained +1 and one forgotten −1 at x = 1, mu = 0.01, sigma = 3, one exact Newton step: the law of b − e(b),
    by change of variables, against that of b. b falls in w, the minimiser with everyone there."""
    sigma, epsilon = 3.0, 0.5
    w = np.linspace(-250.0, 250.0, 500_001)
    p = 1 / (1 + np.exp(-w))

    def slope(w, p, forgotten):
        return -10 * (1 - p) + forgotten * p + 0.01 * (10 + forgotten) * w

    b = -slope(w, p, 1)
    after = w + (p + 0.01 * w) / (10 * p * (1 - p) + 0.01 * 10)
    e = slope(after, 1 / (1 + np.exp(-after)), 0) + b
    ratio = np.abs(e).max() / sigma
    stretch = np.gradient(b - e, b)
    assert stretch.min() > 0.5  # one b for each b − e
    law, other = norm.pdf(b, scale=sigma), norm.pdf(b - e, scale=sigma) * stretch
    true = -np.trapezoid(np.maximum(other - np.exp(epsilon) * law, 0), b)
    papers = 1.5 * np.exp(-((epsilon / ratio) ** 2) / 2)
    gaussian = norm.cdf(ratio / 2 - epsilon / ratio) - np.exp(epsilon) * norm.cdf(-ratio / 2 - epsilon / ratio)
    assert (round(ratio, 5), round(true, 5), round(papers, 5)) == (0.16085, 0.01492, 0.01196)
    assert gaussian == pytest.approx(5.3e-5, rel=0.01)
    data = cu.Dataset(np.ones((11, 1)), np.array([1] * 10 + [0]))
    run = trained(cu.classification(cu.models.Linear(2, bias=False, dtype=jnp.float64), data), weight_decay=0.01)
    method = cu.PerturbedRemoval(objective_noise=sigma, tolerance=ratio * sigma / 11)
    update = method.forget(run, method.prepare(run), [10], KEY)
    assert left_over(update) / update.guarantee.own_noise == pytest.approx(ratio)
    assert {verdict(update, cu.Budget(epsilon=1.0, delta=delta)) for delta in (1e-4, 1e-5, 1e-2)} == {"CONDITIONAL"}


@pytest.mark.parametrize(
    ("run", "settings", "sentence"),
    [
        (made, {"objective_noise": -1.0}, "objective_noise must be a positive number"),
        (made, {"objective_noise": 0.0}, "objective_noise must be a positive number"),
        (made, {"steps": 0}, "steps must be"),
        (made, {}, r"needs prepared = method.prepare\(run\)"),
        (lambda: made(radius=9.0), {}, "needs a run without radius"),
    ],
)
def test_what_cannot_be_done_is_refused(run, settings, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        cu.PerturbedRemoval(**settings).forget(run(), None, IDS, KEY)


def test_a_perturbation_of_another_noise_or_run_is_refused():
    """A b of little noise under a claim of much would be PROVED of nothing, yet claim a small epsilon."""
    run, quiet = made(), cu.PerturbedRemoval(objective_noise=0.01)
    with pytest.raises(cu.BadInput, match="another objective_noise"):
        cu.PerturbedRemoval(objective_noise=100.0).forget(run, quiet.prepare(run), IDS, KEY)
    with pytest.raises(cu.BadInput, match="another run"):
        quiet.forget(made(l2=0.1), quiet.prepare(run), IDS, KEY)
    assert quiet.forget(run, quiet.prepare(run), IDS, KEY).method == "perturbed_removal"
