"""One call forgets by every method, certifies, judges and attacks; who cannot is named."""

import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.evaluation.comparison import compare, every_method
from tests.cases import KEY, classes, trained


@pytest.fixture(scope="module")
def world():
    whole = classes(160)
    data, test = whole[np.arange(80)], whole[np.arange(80, 160)]
    problem = cu.classification(cu.models.Linear(classes=3, dtype=jnp.float64), data)
    run = trained(problem, weight_decay=0.1, radius=3.0)
    return run, {"random:6": cu.requests.random(KEY, run, 6), "class:1:5": cu.requests.by_class(KEY, run, 1, 5)}, test


@pytest.fixture(scope="module")
def noises():
    """The noise of every forgetting by noisy fine-tuning, in order."""
    return []


@pytest.fixture(scope="module")
def removals():
    """The sizes of all that certified removal was asked to forget, in order."""
    return []


@pytest.fixture(scope="module")
def reports(world, noises, removals):
    run, requests, test = world
    methods = every_method(names=["finetune", "certified_removal", "noisy_finetuning"])
    methods["nothing"] = _Refuses()
    forget = cu.NoisyFineTuning.forget

    def heard(self, *words):
        noises.append(self.noise)
        return forget(self, *words)

    remove = cu.CertifiedRemoval.forget

    def counted(self, run, prepared, request, key):
        removals.append(len(request))
        return remove(self, run, prepared, request, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cu.CertifiedRemoval, "forget", counted)
        patch.setattr(cu.NoisyFineTuning, "forget", heard)
        return compare(run, requests, KEY, methods=methods, test=test, shadows=4, models=10, single=3)


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
        assert set(report.controls) == set(cu.registry.names("attacks"))
        assert "klom test (few: 10 models)" in str(report)
        assert report.rows["retrain"]["klom_forget"] >= 0 and "leave_one_out_own_pearson" in report.rows["finetune"]
        assert report.left_out == {"nothing": "not on a Saturday"}
        assert "ulira" in report.attacks["certified_removal + noise"]


def test_certificates_are_those_of_the_budget(reports):
    for report in reports:
        assert report.verdicts["certified_removal"] == "PROVED" and report.verdicts["finetune"] == "NOT CERTIFIED"
        assert "epsilon" in report.certificates["certified_removal"]


def test_noise_of_its_own_is_raised_until_the_budget_allows_it_and_is_that_of_the_whole_row(reports, noises):
    """Shadow models, seeds and single deletions forget by what was certified, not by what was asked for."""
    assert {report.verdicts["noisy_finetuning"] for report in reports} == {"PROVED"}
    used = [float(r.settings["method noisy_finetuning"].split("noise=")[1].split(",")[0]) for r in reports]
    assert min(used) > 0.1
    first = noises.index(used[0])
    again = noises.index(0.1, first)
    assert set(noises[first:again]) == {used[0]} and again - first == 1 + 4 + 10 + 3


def test_shadow_models_forget_once_for_the_rows_with_and_without_noise(removals, reports):
    assert all({"certified_removal", "certified_removal + noise"} <= set(report.attacks) for report in reports)
    assert len(removals) == 2 * (1 + 1 + 4 + 10 + 3)  # once for its own reference


def test_the_same_key_compares_alike(reports, world):
    run, requests, test = world
    methods = every_method(names=["certified_removal"])
    again = compare(run, requests, KEY, methods=methods, test=test, shadows=0, attacks=["loss_threshold"])
    for first, second in zip(reports, again, strict=True):
        name = "certified_removal"
        assert first.rows[name]["test_loss"] == second.rows[name]["test_loss"]
        noised = [report.rows[f"{name} + noise"]["test_loss"] for report in (first, second)]
        assert noised[0] != noised[1]  # the noise comes from secrets, whatever the key


def test_settings_of_a_method_that_is_not_there_are_refused():
    assert every_method({"newton": {"damping": 0.5}})["newton"] == cu.Newton(damping=0.5)
    assert "retrain" not in every_method() and "retrain" in every_method(names=["retrain"])
    with pytest.raises(cu.BadInput, match="newtom"):
        every_method({"newtom": {}})
    with pytest.raises(cu.BadInput, match="unknown name"):
        every_method(names=["newtom"])
