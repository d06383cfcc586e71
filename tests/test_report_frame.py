"""A Report as records and as a data frame."""

import math

import pytest

import certunl as cu
from certunl.evaluation.frame import records
from tests import reports
from tests.cases import KEY, classes, network, trained


@pytest.fixture(scope="module")
def full():
    return reports.report(attacks=("loss_threshold", "lira"))


def test_a_frame_has_a_row_for_each_model_and_every_number_unrounded(full):
    frame = full.to_frame()
    assert list(frame.index) == list(full.rows) and frame.index.name == "model"
    for name, row in full.rows.items():
        for column, value in row.items():
            assert frame.loc[name, column] == value or (math.isnan(value) and math.isnan(frame.loc[name, column]))
    lira = full.attacks["scrub"]["lira"]
    line = frame.loc["scrub"]
    assert (line.lira_auc, line.lira_low, line.lira_high) == (lira.auc, lira.low, lira.high)
    assert (line.lira_tpr_at_0_1, line.lira_tpr_at_1) == (lira.tpr_at_0_1, lira.tpr_at_1)
    assert math.isnan(frame.loc["scrub", "sigma"]) and frame.loc["scrub", "verdict"] == "NOT CERTIFIED"


def test_a_refuted_certificate_has_no_other_verdict_in_a_frame(full):
    verdicts = full.to_frame().verdict
    assert verdicts["rewind_to_delete"] == "REFUTED" and verdicts["newton"] == "PROVED" and verdicts["original"] == ""


def test_a_frame_needs_pandas_and_says_so(full, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(cu.BadInput, match=r"pip install 'certunl\[pandas\]'"):
        full.to_frame()


def test_an_evaluation_says_what_is_claimed_and_of_how_many_examples():
    run = trained(network(), radius=9.0)
    update = cu.HessianFree().forget(run, None, [1, 2], KEY)
    release = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5), trivial=True)
    report = cu.evaluate(run, [1, 2], {"plain": update, "noised": release}, test=classes(seed=1, n=12))
    assert report.examples == {"forget": 2, "retain": 28, "test": 12}
    assert report.claims == {"noised": (1.0, 1e-5), "noised + noise": (1.0, 1e-5)}
    lines = {line["model"]: line for line in records(report)}
    assert lines["noised + noise"]["epsilon"] == 1.0 and math.isnan(lines["plain"]["epsilon"])
    assert list(lines["plain"]) == list(lines["original"])
    assert cu.evaluate(run.minus([1, 2], run.params), [3], update).examples == {"forget": 1, "retain": 27}
