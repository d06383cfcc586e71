"""The power that few shadow models leave an attack: a formula against simulated attacks."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.attacks._likelihood import ratios
from certunl.membership import Shadows, affordable, expected_auc, judge, understatement
from certunl.training.loop import operations
from tests.cases import KEY, classes, trained
from tests.test_report import page, small, tables

SEPARATION = 0.9538725  # √2 Phi^−1(3/4)


def simulated(count, own=None, size=20_000):
    """What LiRA and the ratio to the mean likelihood show with `count` shadow models on normal margins."""
    rng = np.random.default_rng(count)
    member = np.arange(size) < size // 2
    bits = rng.random((count // 2, size)) < 0.5
    inside = np.concatenate([bits, ~bits])
    middle = rng.normal(scale=2, size=size)
    margins, mine = (middle + rng.normal(size=(n, size)) for n in (count, 1))
    margins, mine = margins + SEPARATION * inside, mine[0] + SEPARATION * member
    likely, own_likely = -np.logaddexp(0, -margins), -np.logaddexp(0, -mine)
    shadows = Shadows(inside=jnp.asarray(inside), margins=jnp.asarray(margins), likelihoods=jnp.asarray(likely))
    lira = ratios(jnp.asarray(mine), shadows, False, own)
    return judge(lira, member), judge(own_likely - np.logaddexp.reduce(likely), member)


@pytest.mark.parametrize("count", [4, 16, 32])
def test_the_formula_is_what_a_simulated_attack_shows(count):
    found = simulated(count)[0].auc
    assert expected_auc(0.75, count) == pytest.approx(found, abs=0.01)
    assert abs(expected_auc(0.75, 2 * count) - found) > 0.01 or count > 16


def test_sixteen_understate_by_two_points_or_by_five_with_own_variances_and_rmia_by_hardly_any():
    few, many = simulated(16, size=60_000), simulated(256)
    assert few[0].auc == pytest.approx(0.726, abs=0.01) and many[0].auc == pytest.approx(0.749, abs=0.01)
    assert simulated(16, own=True)[0].auc == pytest.approx(0.695, abs=0.01)
    assert few[0].tpr_at_1 < 0.9 * many[0].tpr_at_1
    assert abs(few[1].auc - simulated(64, size=60_000)[1].auc) < 0.01


def test_the_formula_at_its_ends():
    assert expected_auc(0.5, 16) == pytest.approx(0.5, abs=1e-12)
    for auc in (0.6, 0.75, 0.95):
        assert expected_auc(auc, 10**6) == pytest.approx(auc, abs=1e-5)
        assert 0.5 < expected_auc(auc, 4) < expected_auc(auc, 16) < expected_auc(auc, 64) < auc
    with pytest.raises(cu.BadInput, match="shadows"):
        expected_auc(0.75, 0)


def test_every_table_of_attacks_says_what_few_shadow_models_understate():
    assert understatement(0) == understatement(256) == ""
    said = "16 shadow models understate LiRA and U-LiRA: where 256 show an AUC of 0.75, 16 show at most about 0.73"
    assert understatement(16).startswith(said)
    found = judge([0.0, 1, 2, 3], [0, 1, 0, 1])
    for shadows in (16, 256, 0):
        report = small(attacks={"retrain": {"lira": found}}, controls={"lira": found}, shadows=shadows)
        assert (said in page("x", {}, [report])) == (said in str(report)) == (shadows == 16)
    assert len(tables(page("x", {}, [report]))) == 2


def test_cheap_runs_afford_many_and_the_number_follows_from_the_count_of_operations(monkeypatch):
    run = trained(cu.classification(cu.models.Linear(classes=3, dtype=jnp.float64), classes()), epochs=2)
    long = cu.train(run.problem, replace(run.recipe, epochs=6), KEY)
    assert operations(long) == pytest.approx(3 * operations(run))
    slots, width = run.schedule.weights.size, 3 * np.prod(classes().x.shape[1:])
    assert 4 * slots * width < operations(run) < 40 * slots * width
    assert affordable(run, 0) == affordable(run, 3) == 256
    most = int(1e11 / 256 / operations(run))
    assert affordable(run, most - 1) == 256 and affordable(run, most + 1) == 16


def test_who_names_no_number_gets_the_affordable_one(monkeypatch):
    run = trained(cu.classification(cu.models.Linear(classes=3, dtype=jnp.float64), classes(60)), epochs=2)
    asked = []

    def few(run, forgotten):
        asked.append(forgotten)
        return 4

    monkeypatch.setattr("certunl.evaluation._interrogation.affordable", few)
    update = cu.FineTune().forget(run, None, np.arange(12), KEY)
    options = {"test": classes(60, seed=1), "key": KEY}
    report = cu.evaluate(run, np.arange(12), update, methods={"finetune": cu.FineTune()}, attacks=["ulira"], **options)
    assert report.shadows == 4 and "ulira" in report.attacks["finetune"] and "4 shadow models understate" in str(report)
    report = cu.evaluate(run, np.arange(12), update, attacks=["lira"], **options)
    assert asked == [2, 0] and set(report.attacks["finetune"]) == {"lira"}
    report = cu.evaluate(run, np.arange(12), update, attacks=["loss_threshold"], **options)
    assert report.shadows == 0 and "understate" not in str(report)
