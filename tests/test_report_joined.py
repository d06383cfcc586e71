"""Reports of several seeds as one: means and deviations, and nothing that only some seeds prove."""

import dataclasses
import math
import re
import statistics

import numpy as np
import pytest

import certunl as cu
from certunl.evaluation import join
from certunl.evaluation.lead import lead
from certunl.report import draw, from_json, markdown, page, to_json
from tests import reports
from tests.test_report import audit, small, tables


def seed(accuracy, **changes):
    rows = {"retrain": {"test_accuracy": 0.9}, "newton": {"test_accuracy": accuracy, "seconds": 2.0}}
    return small(rows=rows, request="random:3", **changes)


@pytest.fixture(scope="module")
def three():
    return [reports.report(attacks=("loss_threshold", "lira"), seed=i) for i in range(3)]


def test_numbers_are_means_with_the_deviation_of_a_sample(three):
    joined = join(three)
    assert joined.seeds == 3 and joined.request == "random:100" and joined.forgotten == 100
    for name, row in three[0].rows.items():
        for column in row:
            values = [report.rows[name][column] for report in three]
            if math.isnan(values[0]):
                assert math.isnan(joined.rows[name][column]) and math.isnan(joined.deviations[name][column])
            else:
                assert joined.rows[name][column] == pytest.approx(statistics.mean(values))
                assert joined.deviations[name][column] == pytest.approx(statistics.stdev(values), abs=1e-15)
    areas = [report.attacks["scrub"]["lira"].auc for report in three]
    assert joined.rows["scrub"]["lira_auc"] == pytest.approx(statistics.mean(areas))
    assert joined.left_out["attack lira"] == "its control is not at chance in 3 of 3 seeds"
    assert joined.attacks == {} and joined.tradeoffs == {}
    assert joined.to_frame().loc["scrub", "lira_auc_std"] == pytest.approx(statistics.stdev(areas))


def test_equal_numbers_have_no_deviation_by_rounding():
    assert statistics.pstdev([0.1] * 3) == 0 != np.std([0.1] * 3)
    assert join([seed(0.1)] * 3).deviations["newton"] == {"test_accuracy": 0.0, "seconds": 0.0}


def test_the_page_shows_means_and_deviations(three):
    joined = join([seed(0.8), seed(0.84)])
    text, marked = page("x", {}, [joined]), markdown("x", {}, [joined])
    line = next(line for line in tables(text)[0] if line[0] == "test accuracy")
    assert line[1:] == ["0.9 ± 0", "0.82 ± 0.028"] and "| 0.82 ± 0.028 |" in marked
    assert "mean ± standard deviation of 2 seeds" in text and "(3 examples forgotten, 2 seeds)" in text
    assert re.search(r"test accuracy +0.9 ± 0 +0.82 ± 0.028", str(joined))
    pictures = draw(join(three))
    assert not any("roc" in one.name for one in pictures) and len(pictures) == 5
    assert sum("bars are the standard deviation over 3 seeds" in one.said for one in pictures) == 3
    assert "(100 examples forgotten, 3 seeds)" in page("x", {}, [join(three)], figures=[pictures])


def test_a_verdict_is_the_worst_of_the_seeds_and_a_claim_the_largest():
    def verdicts(*words):
        several = [seed(0.8, verdicts={"newton": word} if word else {}) for word in words]
        return join(several).verdicts["newton"]

    assert verdicts("PROVED", "PROVED") == "PROVED"
    assert verdicts("PROVED", "CONDITIONAL") == "CONDITIONAL" and verdicts("VACUOUS", "CONDITIONAL") == "VACUOUS"
    assert verdicts("PROVED", None) == "NOT CERTIFIED" and verdicts("REFUTED", None) == "REFUTED"
    low, high = ({"verdicts": {"newton": "PROVED"}, "claims": {"newton": claim}} for claim in ((1.0, 1e-5), (2.0, 0.0)))
    said = lead(join([seed(0.8, **low), seed(0.84, **high)]))
    assert said.startswith("newton is PROVED with epsilon 2 at delta 1e-05: test accuracy 0.82 ± 0.028 (retraining 0.9")
    refuted = join([seed(0.8, audits={"newton": audit(0.5)}), seed(0.8, audits={"newton": audit(2.0)})])
    assert refuted.audits["newton"].refuted


def test_rows_that_some_seeds_lack_are_named():
    lacking = seed(0.9, left_out={"newton": "it diverged"})
    del lacking.rows["newton"]
    joined = join([seed(0.8), seed(0.84), lacking])
    assert joined.rows["newton"]["test_accuracy"] == pytest.approx(0.82)
    assert joined.left_out == {"newton": "it diverged (1 of 3 seeds)"}
    assert join([seed(0.8), lacking]).deviations["newton"]["test_accuracy"] != 0  # nothing is known of it
    quiet = dataclasses.replace(lacking, left_out={})
    assert join([seed(0.8), quiet]).left_out == {"newton": "the row is of 1 of 2 seeds"}
    endless = join([small(rows={"newton": {"distance": np.inf}}) for _ in range(2)])
    assert endless.rows["newton"]["distance"] == np.inf and math.isnan(endless.deviations["newton"]["distance"])


def test_a_joined_report_comes_back_from_its_file():
    joined = join([seed(0.8, claims={"newton": (np.inf, 0.0)}), seed(0.84, examples={"test": 3})])
    assert from_json(to_json(joined)) == joined and joined.claims == {"newton": (np.inf, 0.0)}


def test_only_reports_of_the_same_request_are_joined():
    one, other = seed(0.8), dataclasses.replace(seed(0.8), request="class:3")
    with pytest.raises(cu.BadInput, match="got random:3 of 3 examples and class:3 of 3 examples"):
        join([one, other])
    for wrong in ([], [one], [one, join([one, one])], [one, "two"]):
        with pytest.raises(cu.BadInput, match="at least two Reports"):
            join(wrong)
