"""A Report comes back from its file as it was."""

import dataclasses
import json
import math

import numpy as np
import pytest

from certunl.audits.audit import Audit
from certunl.errors import BadInput
from certunl.evaluation import Report
from certunl.folders.json_files import as_json, read_json, write_json
from certunl.membership.roc import Attacked
from certunl.report import from_json, to_json
from tests import reports


def returned(report, path):
    write_json(path / "evaluation.json", [to_json(report)])
    return from_json(read_json(path / "evaluation.json", "")[0])


def test_a_full_report_comes_back_equal(tmp_path):
    report = reports.report(attacks=("lira",))
    report = dataclasses.replace(
        report, rows={n: {c: v for c, v in r.items() if v == v} for n, r in report.rows.items()}
    )
    assert returned(report, tmp_path) == report


def test_what_json_has_not_comes_back(tmp_path):
    few = Attacked(
        auc=0.5,
        low=0.0,
        high=1.0,
        tpr_at_0_1=math.nan,
        tpr_at_1=-math.inf,
        members=2,
        others=3,
        fpr=(0, 1),
        tpr=(0, 1.0),
    )
    audit = Audit(lower=0.0, epsilon=math.inf, delta=1e-5, confidence=0.99, how="inf")
    report = Report(
        {"original": {"distance": math.inf, "seconds": np.float64(math.nan)}},
        3,
        {"original": "inf"},
        attacks={"original": {"few": few}},
        audits={"original": audit},
        tradeoffs={"original": {0.0: 0.5, 1e-7: math.nan, np.float64(0.1): 0.25}},
    )
    held = returned(report, tmp_path)
    one = held.attacks["original"]["few"]
    assert held.rows["original"]["distance"] == math.inf and math.isnan(held.rows["original"]["seconds"])
    assert math.isnan(one.tpr_at_0_1) and one.tpr_at_1 == -math.inf and (one.fpr, one.tpr) == ((0, 1), (0, 1))
    assert isinstance(one.members, int) and held.verdicts == {"original": "inf"}
    assert held.audits == {"original": audit} and not held.audits["original"].refuted
    assert list(held.tradeoffs["original"]) == [0.0, 1e-7, 0.1] and math.isnan(held.tradeoffs["original"][1e-7])


def test_files_of_before_are_read(tmp_path):
    held = {"rows": {"original": {"distance": None}}, "forgotten": 3, "verdicts": {}}
    assert math.isnan(from_json(held).rows["original"]["distance"]) and from_json(held).attacks == {}
    report = reports.report(attacks=("lira",))
    plain = json.loads(json.dumps(as_json(dataclasses.asdict(report))))
    assert from_json(plain).attacks == report.attacks and from_json(plain).tradeoffs == report.tradeoffs
    for name in ("interval_at_0_1", "interval_at_1"):
        del plain["attacks"]["original"]["lira"][name]
    old = from_json(plain).attacks["original"]["lira"]
    assert old.auc == report.attacks["original"]["lira"].auc and np.isnan(old.interval_at_1).all()


def test_a_damaged_file_is_refused_in_words(tmp_path):
    (tmp_path / "evaluation.json").write_text('[{"rows": {}, "verdicts": {}}]')
    with pytest.raises(BadInput, match="has no 'forgotten'; evaluate again"):
        from_json(read_json(tmp_path / "evaluation.json", "evaluate again")[0])
