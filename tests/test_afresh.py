"""A model trained afresh is the reference of a run without a history."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.certificates.guarantee import AFRESH
from tests.cases import KEY, classes, network, trained, vector
from tests.test_adoption import IDS, RECIPE


@pytest.fixture(scope="module")
def run():
    return cu.adopt(network(), trained(network(), weight_decay=0.05).params, recipe=RECIPE, origin="by hand")


def test_training_afresh_is_training_on_the_retained_examples_alone(run):
    update = cu.Retrain(afresh=RECIPE).forget(run, None, IDS, KEY)
    rows = np.setdiff1d(np.arange(30), IDS)
    alone = cu.train(replace(run.problem, data=run.problem.data[rows]), RECIPE, KEY)
    assert (vector(update.params) == vector(alone.params)).all()
    later = run.minus(IDS, update.params)
    both = cu.Retrain(afresh=RECIPE).forget(later, None, [5], KEY)
    rest = cu.Retrain(afresh=RECIPE).forget(run, None, [*IDS, 5], KEY)
    assert (vector(both.params) == vector(rest.params)).all()


def test_training_afresh_reads_nothing_of_the_forgotten_and_nothing_of_the_run(run):
    x, y = np.array(run.problem.data.x), np.array(run.problem.data.y)
    x[IDS], y[IDS] = 1e3, 0
    other = replace(run.problem, data=cu.Dataset(x, y))
    changed = cu.adopt(other, jax.tree.map(lambda p: p + 7, run.params))
    ends = [vector(cu.Retrain(afresh=RECIPE).forget(one, None, IDS, KEY).params) for one in (run, changed)]
    assert (ends[0] == ends[1]).all()


def test_training_afresh_is_proved_of_its_own_law_and_inherits_what_the_data_leave_open(run):
    update = cu.Retrain(afresh=RECIPE).forget(run, None, IDS, KEY)
    guarantee = update.guarantee
    assert guarantee.exact and guarantee.reference == AFRESH and not guarantee.replayed and guarantee.unchecked == ()
    certificate = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5)).certificate
    assert certificate.verdict == "PROVED" and certificate.sigma == 0 and guarantee.examples == 30
    data = replace(run.problem.data, unchecked=("the scales",))
    open_data = replace(run, problem=replace(run.problem, data=data))
    assert cu.Retrain(afresh=RECIPE).forget(open_data, None, IDS, KEY).unchecked == ("the scales",)
    with pytest.raises(cu.BadInput, match="afresh must be a Recipe"):
        cu.Retrain(afresh="yes")


# evaluation


def test_an_evaluation_beside_a_model_trained_afresh_claims_no_distance_to_it(run):
    updates = {
        "finetune": cu.FineTune().forget(run, None, IDS, KEY),
        "removal": cu.Newton(operator="ggn").forget(run, None, IDS, KEY),
    }
    reference = cu.Retrain(afresh=RECIPE)
    report = cu.evaluate(run, IDS, updates, test=classes(seed=1), reference=reference)
    assert {"retain_accuracy", "test_accuracy", "tug_of_war"} <= set(report.columns())
    assert not {"distance", "relative_distance", "cosine"} & set(report.columns())
    assert "chance" in report.left_out["distance to retraining"]
    truth = reference.forget(run, None, IDS, jax.random.key(0))
    assert report.rows["retrain"]["retain_loss"] != report.rows["original"]["retain_loss"]
    again = cu.evaluate(run, IDS, updates, test=classes(seed=1), reference=truth)
    assert again.rows["retrain"]["retain_loss"] == report.rows["retrain"]["retain_loss"]


def test_a_true_bound_is_not_refuted_by_a_model_trained_afresh():
    run = trained(network(), weight_decay=0.05)
    update = cu.Retrain().forget(run, None, IDS, KEY)
    release = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5))
    report = cu.evaluate(run, IDS, {"mine": release}, reference=cu.Retrain(afresh=RECIPE))
    assert report.audits == {} and report.verdicts["mine"] == "PROVED"


def test_attacks_without_shadows_run_and_the_others_say_what_they_lack(run):
    update = cu.FineTune().forget(run, None, IDS, KEY)
    report = cu.evaluate(
        run, IDS, update, test=classes(seed=1), reference=cu.Retrain(afresh=RECIPE), key=KEY, shadows=4
    )
    ran = {attack for row in report.attacks.values() for attack in row}
    assert "loss_threshold" in ran and "lira" not in ran
    assert "adopted without" in report.left_out["attack lira"]
    assert np.isfinite(report.rows["original"]["relearn_epochs"])


def test_a_comparison_names_the_methods_that_need_a_history(run):
    methods = {"hessian_free": cu.HessianFree(), "finetune": cu.FineTune()}
    settings = {"test": classes(seed=1), "methods": methods, "attacks": ["loss_threshold"], "shadows": 0}
    (report,) = cu.compare(run, {"three": IDS}, KEY, reference=cu.Retrain(afresh=RECIPE), **settings)
    assert "adopted without" in report.left_out["hessian_free"] and "finetune" in report.rows


# what is adopted
