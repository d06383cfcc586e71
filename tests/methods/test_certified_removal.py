"""Certified removal: what is released lies within its bound, whoever asks."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl import cli
from certunl.bounds.linear_risk import linear_risk
from certunl.certificates.gaussian import read_epsilon
from certunl.folders import RunFolder
from tests.bounds.test_linear_risk import made
from tests.bounds.test_residual import minimiser
from tests.cases import KEY, classes, network, ridge, trained, vector

IDS = [1, 4, 17]
BUDGET = cu.Budget(epsilon=1.0, delta=1e-5)
EVERY = (
    BUDGET,
    cu.Budget(epsilon=1.0, delta=1e-5, distance=50.0),
    cu.Budget(epsilon=0.3, delta=1e-3),
)


def forget(run, ids=IDS, prepared=None, **settings):
    return cu.CertifiedRemoval(**settings).forget(run, prepared, ids, KEY)


def verdict(update, budget=BUDGET):
    return cu.certify(update, budget).certificate.verdict


def test_the_release_lies_within_its_bound_whoever_asks_and_the_bound_is_of_settings_alone():
    ratios, bounds = [], set()
    for kind in ("softmax", "least squares"):
        run = made(kind, denominator="retained", l2=0.1)
        for seed in range(8):
            ids = cu.requests.random(jax.random.key(seed), run, 1 + 4 * (seed % 3))
            mask = run.retained(ids)
            update = forget(run, ids, tolerance=1e-3, solver=cu.CG(tol=0.5))
            assert update.cost["residual"] == linear_risk(run, mask).slope(update.params).most <= 1e-3
            ratios.append(np.linalg.norm(vector(update.params) - minimiser(run, mask)) / update.bound)
            bounds.add(update.bound)
    assert bounds == {1e-3 / (0.1 + 0.1)} and update.guarantee.every_request and verdict(update) == "PROVED"
    assert update.guarantee.reference == "the minimiser of the retained risk"
    assert 0.1 < max(ratios) <= 1, max(ratios)


def test_by_default_the_distance_is_a_hundredth():
    for run in (made(), made(weight_decay=0.7), made(l2=0.3, weight_decay=0.0, denominator="retained")):
        update = forget(run)
        assert update.bound == pytest.approx(0.01) and update.cost["residual"] <= 0.01 * 0.7


def test_the_verdict_needs_a_mu_that_depends_on_nobody():
    run = made(l2=0.3, weight_decay=0.1)
    few, others, more = (forget(run, ids, tolerance=1e-4) for ids in ([1], [9], [1, 2, 3, 4]))
    assert few.bound == others.bound == pytest.approx(1e-4 / (0.1 + 0.3 * 39 / 40))
    assert more.bound == pytest.approx(1e-4 / (0.1 + 0.3 * 36 / 40))
    again = forget(run.minus([1], few.params), [2], tolerance=1e-4)  # who was forgotten before counts
    assert again.bound == pytest.approx(1e-4 / (0.1 + 0.3 * 38 / 40)) and verdict(again) == "PROVED"


@pytest.mark.parametrize("settings", [{"steps": 1}, {"steps": 2, "solver": cu.CG(tol=0.9)}])
def test_a_tolerance_that_is_not_reached_is_told_and_the_run_is_as_it_was(settings):
    run = made(weight_decay=0.01)
    before = vector(run.params).copy(), np.asarray(run.present).copy()
    with pytest.raises(
        cu.Diverged, match=r"gradient is 0\.\d+ after [12] steps, above the tolerance of 1e-09; raise steps"
    ):
        forget(run, tolerance=1e-9, **settings)
    assert (vector(run.params) == before[0]).all() and (np.asarray(run.present) == before[1]).all()
    assert forget(run, tolerance=1e-9).cost["newton_steps"] > 2


def test_far_from_the_minimum_steps_are_shortened_and_still_arrive():
    run = made(weight_decay=1e-3, bound=1.0)
    far = replace(run, params=jax.tree.map(lambda leaf: 100 * leaf, run.params))
    update = forget(far, tolerance=1e-8)
    np.testing.assert_allclose(vector(update.params), minimiser(run, run.retained(np.array(IDS))), atol=1e-5)


def test_in_float32_the_rounding_of_the_parameters_is_what_stops_it():
    run = made(dtype=jnp.float32, weight_decay=0.1)
    update = forget(run, tolerance=1e-6)
    assert {leaf.dtype for leaf in jax.tree.leaves(update.params)} == {jnp.dtype("float32")}
    exact = made(weight_decay=0.1)  # the same inputs, not cast
    off = np.linalg.norm(vector(update.params) - minimiser(exact, exact.retained(np.array(IDS))))
    assert 0 < off <= update.bound
    with pytest.raises(cu.Diverged, match="no step lowers it further at this precision of the parameters"):
        forget(run, tolerance=1e-12)


def test_in_a_ball_what_is_measured_is_what_is_released():
    run = made(radius=0.7, weight_decay=0.5)  # holds the minimiser
    far = replace(run, params=jax.tree.map(lambda leaf: 50 * leaf, run.params))
    update = forget(far, tolerance=1e-6)
    mask, released = run.retained(np.array(IDS)), update.projected()
    slope = linear_risk(run, mask).slope(released)
    assert slope.norm <= 1e-6 and np.linalg.norm(vector(released)) <= 0.7 * (1 + 1e-12)
    assert np.linalg.norm(vector(released) - minimiser(run, mask)) <= update.bound
    assert update.guarantee.reference.endswith("over the ball of radius 0.7") and verdict(update) == "PROVED"
    assert verdict(forget(run, tolerance=2 * 0.7 * 0.5)) == "VACUOUS"
    with pytest.raises(cu.Diverged, match="the minimiser lies outside the ball"):
        forget(made(radius=0.1, weight_decay=0.5), tolerance=1e-6)


def test_requests_one_after_another_are_measured_anew_and_compose():
    run = made()
    stream = cu.Stream(run=run, method=cu.CertifiedRemoval(tolerance=1e-3, solver=cu.CG(tol=0.5)))
    for ids in ([1], [4, 5], [17]):
        release, stream = stream.forget(ids, BUDGET, KEY, cu.secret_key())
        assert release.certificate.verdict == "PROVED" and release.certificate.bound == pytest.approx(1e-2)
        truth = minimiser(stream.run, stream.run.present)
        assert np.linalg.norm(vector(stream.run.params) - truth) <= 1e-2
    one = release.certificate.bound / release.certificate.sigma
    assert stream.account.epsilon(1e-5) == pytest.approx(read_epsilon(1 / (one * np.sqrt(3)), 1e-5))


def test_owners_are_forgotten_with_all_their_examples():
    owned = cu.classification(
        cu.models.Linear(3, dtype=jnp.float64), classes(n=40, owners=np.arange(40, dtype=np.int32) // 4)
    )
    run = trained(owned, weight_decay=0.1)
    ids = cu.requests.by_owner(run, [2, 7])
    assert len(ids) == 8
    update = forget(run, ids, tolerance=1e-8)
    assert np.linalg.norm(vector(update.params) - minimiser(run, run.retained(ids))) <= update.bound


def test_on_real_digits_the_release_is_proved_and_as_accurate_as_the_minimiser():
    data = cu.datasets.load("digits")
    problem = cu.classification(cu.models.Linear(10, bound=1.0), data.train)
    run = cu.train(problem, cu.Recipe(learning_rate=0.5, weight_decay=1e-3, epochs=20, batch_size=100), KEY)
    request = cu.requests.random(jax.random.key(1), run, 14)  # one in a hundred
    test = jax.tree.map(jnp.asarray, data.test)
    release = cu.certify(forget(run, request), BUDGET, cu.secret_key())
    best = forget(run, request, tolerance=1e-7).params
    accuracy = [float(problem.scores(params, test).correct.mean()) for params in (release.params, best)]
    certificate = release.certificate
    assert (certificate.verdict, certificate.epsilon) == ("PROVED", 1.0)
    assert accuracy[1] > 0.9 and accuracy[0] >= accuracy[1] - 0.02, accuracy


@pytest.mark.parametrize(
    ("run", "settings", "sentence"),
    [
        (lambda: trained(network(), weight_decay=0.1), {}, "closed form needs"),
        (lambda: trained(ridge(), weight_decay=0.1), {}, "closed form needs"),
        (lambda: made(weight_decay=0.0), {}, "without weight decay or l2"),
        (made, {"tolerance": 0.0}, "tolerance must be a positive number"),
        (made, {"steps": 0}, "steps must be"),
        (made, {"solver": cu.LiSSA(scale=5.0)}, "solver must be"),
    ],
)
def test_what_cannot_be_done_is_refused(run, settings, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        forget(run(), **settings)


def test_the_command_line_forgets_with_it_and_leaves_the_published_noise_to_the_library(tmp_path, capsys):
    place = str(tmp_path / "run")
    cli.main(["train", place, "--dataset", "wine", "--model", "linear", "--set", "weight_decay=0.1", "bound=1.0"])
    words = ["forget", place, "--method", "certified_removal", "--request", "random:3", "--set", "tolerance=1e-3"]
    cli.main(words)
    assert "PROVED: certified_removal" in capsys.readouterr().out
    assert "certified_removal-1" in RunFolder(tmp_path / "run").releases.published
    cli.main(["prepare", place, "--method", "certified_removal"])
    assert "prepares what it needs when it forgets" in capsys.readouterr().out
    for words in (["prepare", place], ["forget", place, "--request", "ids:3", "--name", "other"]):
        with pytest.raises(SystemExit):
            cli.main([*words, "--method", "perturbed_removal"])
        assert "in the library" in capsys.readouterr().err.replace("for the library", "in the library")
