"""Retraining judged against itself is ideal, doing nothing is 1, a planted error has its known value."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from tests.cases import KEY, claimed, classes, network, ridge, trained, vector

IDS = [1, 2, 9, 14]


@pytest.fixture(scope="module")
def run():
    return trained(network())


def test_retraining_and_doing_nothing_have_their_ideal_values(run):
    report = cu.evaluate(run, IDS, cu.Retrain().forget(run, None, IDS, KEY), test=classes(seed=1))
    original, retrain = report.rows["original"], report.rows["retrain"]
    assert retrain["distance"] == 0 and retrain["relative_distance"] == 0
    assert retrain["loss_change_correlation"] == pytest.approx(1)
    assert original["relative_distance"] == 1 and np.isnan(original["loss_change_correlation"])
    assert np.isnan(original["seconds"]) and retrain["seconds"] > 0


def test_utility_by_hand(run):
    report = cu.evaluate(run, IDS, cu.HessianFree().forget(run, None, IDS, KEY), test=classes(seed=1))
    data, test = run.problem.data, classes(seed=1)
    kept = np.setdiff1d(np.arange(30), IDS)
    for split, part in (("forget", data[np.array(IDS)]), ("retain", data[kept]), ("test", test)):
        logits = run.problem.losses.predict(run.params, jnp.asarray(part.x))
        row = report.rows["original"]
        assert row[f"{split}_accuracy"] == pytest.approx(np.mean(np.argmax(logits, -1) == part.y))
        assert row[f"{split}_loss"] == pytest.approx(np.mean(run.problem.losses(run.params, part)))


def test_a_planted_error_has_its_distance(run):
    truth = cu.Retrain().forget(run, None, IDS, KEY)
    off = jax.tree.map(lambda p: p + 0.01, truth.params)
    planted = replace(truth, params=off, method="planted")
    row = cu.evaluate(run, IDS, planted).rows["planted"]
    nothing = np.linalg.norm(vector(run.params) - vector(truth.params))
    assert row["distance"] == pytest.approx(0.01 * np.sqrt(vector(off).size))
    assert row["relative_distance"] == pytest.approx(row["distance"] / nothing)


def test_distances_are_of_the_un_noised_model_and_noise_has_its_own_row(run):
    inside = trained(network(), radius=9.0)
    update = cu.HessianFree().forget(inside, None, IDS, KEY)
    release = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5), trivial=True)
    report = cu.evaluate(inside, IDS, {"plain": update, "noised": release})
    assert report.rows["plain"]["distance"] == report.rows["noised"]["distance"]
    assert report.rows["noised + noise"]["distance"] > 100 * report.rows["noised"]["distance"]
    assert report.verdicts == {"noised": "VACUOUS", "noised + noise": "VACUOUS"}


def test_a_report_prints_every_row_and_column(run):
    report = cu.evaluate(run, IDS, cu.HessianFree().forget(run, None, IDS, KEY))
    printed = str(report)
    for word in ("original", "retrain", "hessian_free", "relative distance", "forget accuracy", "4 examples"):
        assert word in printed
    assert "test_accuracy" not in report.columns()


def test_a_certified_row_has_its_bound_and_the_trivial_one_beside_its_distance():
    run = trained(network(), radius=5.0, weight_decay=0.01)
    known = cu.NewtonConstants(
        smoothness=1.0, hessian_lipschitz=1.0, smallest_eigenvalue=0.0, gradient_residual=0.0, failure_probability=0.1
    )
    update = cu.Newton(damping=3.0, assumed=known).forget(run, None, IDS, KEY)
    report = cu.evaluate(run, IDS, cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5)))
    row = report.rows["newton"]
    assert row["bound_to_its_reference"] == update.bound >= row["trivial_bound"] == 10 > row["distance"] > 0
    assert report.verdicts["newton"] == "VACUOUS"
    for word in ("bound to its reference", "trivial bound", "VACUOUS"):
        assert word in str(report)


def test_problems_without_classes_report_losses_only():
    run = trained(ridge())
    rows = cu.evaluate(run, [0, 1, 2], cu.HessianFree().forget(run, None, [0, 1, 2], KEY)).rows
    assert "forget_loss" in rows["original"] and "forget_accuracy" not in rows["original"]


def test_another_model_and_a_bad_request_are_refused(run):
    other = cu.Retrain().forget(trained(ridge()), None, [0], KEY)
    with pytest.raises(cu.BadInput, match="another model"):
        cu.evaluate(run, [0], other)
    with pytest.raises(cu.BadInput, match="empty"):
        cu.evaluate(run, [], other)


def test_a_release_by_retraining_is_the_truth_of_its_group(run, monkeypatch):
    from certunl.evaluation import evaluate_all

    budget, ids = cu.Budget(epsilon=1.0, delta=1e-5), np.array(IDS, np.int32)
    truth = cu.Retrain().forget(run, None, IDS, KEY)
    releases = {
        "hessian_free-1": (ids, cu.certify(cu.HessianFree().forget(run, None, IDS, KEY), budget)),
        "retrain-1": (ids, cu.certify(truth, budget)),
        "other-1": (ids[:2], cu.certify(cu.HessianFree().forget(run, None, IDS[:2], KEY), budget)),
    }
    retrained = []
    forget = cu.Retrain.forget
    monkeypatch.setattr(cu.Retrain, "forget", lambda self, *words: retrained.append(1) or forget(self, *words))
    first, second = evaluate_all(run, releases)
    assert len(retrained) == 1 and (first.forgotten, second.forgotten) == (4, 2)
    assert set(first.rows) == {"original", "retrain", "hessian_free-1"}
    assert first.rows["retrain"]["seconds"] == truth.cost["seconds"]


def test_a_certificate_whose_noise_is_ten_times_too_small_is_refuted_and_the_right_one_is_not(run):
    """Where the bound is the distance itself, nothing of epsilon is spare."""
    truth = cu.Retrain().forget(run, None, IDS, KEY)
    distance = float(np.linalg.norm(vector(run.params) - vector(truth.params)))
    nothing = claimed(run.params, method="nothing", reference=cu.REPLAY, bound=distance)
    for seed in range(20):
        release = cu.certify(nothing, cu.Budget(epsilon=1.0, delta=1e-5), jax.random.key(seed))
        quiet = jax.tree.map(lambda p, o: o + 0.1 * (p - o), release.params, run.params)
        releases = {"right": release, "quiet": replace(release, params=quiet)}
        report = cu.evaluate(run, IDS, releases, reference=truth)
        assert report.verdicts["quiet"] == report.verdicts["quiet + noise"] == "REFUTED"
        assert report.verdicts["right"] == release.certificate.verdict != "REFUTED"
        assert report.audits["quiet"].lower > 1 > report.audits["right"].lower
