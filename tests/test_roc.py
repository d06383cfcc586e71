"""What attacks are worth: exact areas, intervals that cover, power where few false alarms are allowed."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

import certunl as cu
from certunl.membership.roc import judge


def test_area_and_curve_of_a_case_counted_by_hand():
    found = judge([3, 1, 2, 2, 0], [1, 1, 1, 0, 0])
    # pairs of a member and an other: 3>2, 3>0, 1<2, 1>0, 2=2, 2>0
    assert found.auc == pytest.approx((4 + 0.5) / 6)
    assert found.fpr == (0, 0, 0.5, 0.5, 1) and found.tpr == pytest.approx((0, 1 / 3, 2 / 3, 1, 1))
    assert (found.members, found.others) == (3, 2)


def test_the_area_is_that_under_the_curve():
    rng = np.random.default_rng(0)
    scores, member = rng.normal(size=900).round(1), rng.random(900) < 0.3
    found = judge(scores + member, member)
    assert np.trapezoid(found.tpr, found.fpr) == pytest.approx(found.auc)


def test_intervals_cover_the_truth_and_not_another():
    rng, member = np.random.default_rng(1), np.arange(160) < 80
    truth = norm.cdf(1 / np.sqrt(2))
    found = [judge(rng.normal(size=160) + member, member) for _ in range(600)]
    assert 0.925 < np.mean([a.low <= truth <= a.high for a in found]) < 0.98
    assert np.mean([a.at_chance for a in found]) < 0.01
    assert 0.925 < np.mean([judge(rng.normal(size=160), member).at_chance for _ in range(600)]) < 0.98


def test_power_at_few_false_alarms_needs_enough_others():
    rng = np.random.default_rng(2)
    member = np.arange(200_000) < 100_000
    found = judge(rng.normal(size=200_000) + 2 * member, member)
    assert found.tpr_at_1 == pytest.approx(norm.sf(norm.isf(0.01) - 2), abs=0.02)
    assert found.tpr_at_0_1 == pytest.approx(norm.sf(norm.isf(0.001) - 2), abs=0.02)
    few = judge(rng.normal(size=400), np.arange(400) < 200)
    assert np.isnan(few.tpr_at_0_1) and not np.isnan(few.tpr_at_1)


def test_rates_have_the_interval_of_as_many_trials_as_there_are_members():
    scores, member = np.append(np.arange(100.0), np.full(40, 98.5)), np.arange(140) >= 100
    scores[100:137] = -1.0  # three of forty members above the 1% threshold
    found = judge(scores, member)
    assert found.tpr_at_1 == pytest.approx(3 / 40)
    for sure in (0.95, 0.999):
        truth = binomtest(3, 40).proportion_ci(sure, "exact")
        assert judge(scores, member, confidence=sure).interval_at_1 == pytest.approx((truth.low, truth.high), rel=1e-9)
    assert np.isnan(found.interval_at_0_1).all()
    none, every = (judge(np.append(np.arange(100.0), np.full(40, s)), member).interval_at_1 for s in (-1.0, 200.0))
    assert none == (0.0, pytest.approx(1 - 0.025 ** (1 / 40))) and every == (pytest.approx(0.025 ** (1 / 40)), 1.0)


def test_told_apart_without_error_and_not_at_all():
    apart = judge([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1])
    assert (apart.auc, apart.high) == (1, 1) and apart.low == pytest.approx(0.025 ** (1 / 3))
    assert judge([1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]).high == pytest.approx(1 - 0.025 ** (1 / 3))
    same = judge(np.zeros(6), [0, 0, 0, 1, 1, 1])
    assert (same.auc, same.low, same.high) == (0.5, 0.5, 0.5)


def test_who_has_no_score_is_left_out():
    with_gaps = judge([np.nan, 3, 1, 2, 2, 0, np.nan], [1, 1, 1, 1, 0, 0, 0])
    without = judge([3, 1, 2, 2, 0], [1, 1, 1, 0, 0])
    for name in ("auc", "low", "high", "members", "others", "fpr", "tpr"):
        assert getattr(with_gaps, name) == getattr(without, name)
    with pytest.raises(cu.BadInput, match="two members"):
        judge([1.0, np.nan, 0.0, 0.0], [1, 1, 0, 0])


def test_long_curves_are_thinned_and_keep_their_ends():
    rng = np.random.default_rng(3)
    found = judge(rng.normal(size=20_000), rng.random(20_000) < 0.5)
    assert len(found.fpr) < 500
    assert (found.fpr[0], found.tpr[0], found.fpr[-1], found.tpr[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(found.tpr, found.fpr) == pytest.approx(found.auc, abs=0.01)
