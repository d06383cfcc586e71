"""One call forgets by every method, certifies, judges and attacks; who cannot is named."""

import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.comparison import compare, every_method
from tests.cases import KEY, classes, trained


@pytest.fixture(scope="module")
def reports():
    whole = classes(160)
    data, test = whole[np.arange(80)], whole[np.arange(80, 160)]
    problem = cu.classification(cu.models.Linear(classes=3, dtype=jnp.float64), data)
    run = trained(problem, weight_decay=0.1, radius=3.0)
    methods = every_method(names=["finetune", "certified_removal", "noisy_finetuning"])
    methods["nothing"] = _Refuses()
    requests = {"random:6": cu.requests.random(KEY, run, 6), "class:1:5": cu.requests.by_class(KEY, run, 1, 5)}
    return compare(run, requests, KEY, methods=methods, test=test, shadows=4, models=4, single=3)


class _Refuses:
    def prepare(self, run, *, progress=None):
        """Nothing to prepare."""

    def forget(self, run, prepared, request, key):
        raise cu.BadInput("not on a Saturday")


def test_every_method_is_judged_and_attacked_on_every_request(reports):
    assert [report.request for report in reports] == ["random:6", "class:1:5"]
    for report in reports:
        assert {"original", "retrain", "finetune", "certified_removal", "noisy_finetuning"} <= set(report.rows)
        assert set(report.attacks) == set(report.rows)
        assert set(report.controls) == set(cu.rooms.names("attacks"))
        assert report.rows["retrain"]["klom_forget"] >= 0 and "leave_one_out_own_pearson" in report.rows["finetune"]
        assert report.left_out == {"nothing": "not on a Saturday"}
        assert "ulira" in report.attacks["certified_removal + noise"]


def test_certificates_are_those_of_the_budget(reports):
    for report in reports:
        assert report.verdicts["certified_removal"] == "PROVED" and report.verdicts["finetune"] == "NOT CERTIFIED"
        assert "epsilon" in report.certificates["certified_removal"]


def test_noise_of_its_own_is_raised_until_the_budget_allows_it(reports):
    assert reports[0].verdicts["noisy_finetuning"] == "PROVED"


def test_settings_of_a_method_that_is_not_there_are_refused():
    assert every_method({"newton": {"damping": 0.5}})["newton"] == cu.Newton(damping=0.5)
    assert "retrain" not in every_method() and "scrubbing" not in every_method()
    with pytest.raises(cu.BadInput, match="newtom"):
        every_method({"newtom": {}})
    with pytest.raises(cu.BadInput, match="unknown name"):
        every_method(names=["newtom"])
