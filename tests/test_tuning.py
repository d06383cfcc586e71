"""Settings are chosen on another request of the same kind, and the comparison says what that cost."""

import json
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.evaluation import tune
from certunl.evaluation.tuning import grid
from tests.cases import KEY, classes, trained
from tests.verbs import certunl, refused


@pytest.fixture(scope="module")
def world():
    whole = classes(240)
    data, test = whole[np.arange(120)], whole[np.arange(120, 240)]
    owned = cu.Dataset(data.x, data.y, np.arange(120) // 4)
    run = trained(cu.classification(cu.models.Linear(classes=3, dtype=jnp.float64), owned), epochs=6)
    return run, test


class Moves(cu.Unlearner):
    """A method of somebody else, which is no dataclass."""

    def forget(self, run, prepared, request, key):
        truth = cu.Retrain().forget(run, None, request, key)
        return truth.replace(params=jax.tree.map(lambda p: -p, run.params))


def test_the_setting_that_is_most_like_retraining_is_chosen(world):
    run, test = world
    grids = {"finetune": [{"learning_rate": 1e-3}, {"learning_rate": 5.0, "epochs": 50}], "fisher": []}
    methods = {"finetune": cu.FineTune(learning_rate=50.0), "fisher": cu.FisherForgetting(), "noisy": cu.NoisySGD()}
    said = []
    found = tune(run, methods, np.arange(40), KEY, test=test, grids=grids, tell=said.append)
    assert said == ["finetune", "fisher"]  # the noise of the third is set by the budget
    assert found["finetune"].settings == {"learning_rate": 1e-3} and found["finetune"].tried == 3
    assert found["finetune"].score > found["finetune"].before and found["finetune"].seconds > 0
    assert found["finetune"].method == cu.FineTune(learning_rate=1e-3)
    assert found["fisher"].settings == {} and found["fisher"].score == found["fisher"].before
    assert "learning_rate=0.001: the best of 3" in str(found["finetune"]) and "as given" in str(found["fisher"])


def test_the_score_is_the_tug_of_war_of_the_report(world):
    run, test = world
    ids = np.arange(30)
    found = tune(run, {"finetune": cu.FineTune()}, ids, KEY, test=test, grids={"finetune": []})["finetune"]
    update = cu.FineTune().forget(run, None, ids, KEY)
    assert found.score == cu.evaluate(run, ids, update, test=test).rows["finetune"]["tug_of_war"]


@dataclass(frozen=True)
class Fails(cu.Unlearner):
    """Cannot forget unless `able`."""

    able: bool = False

    def forget(self, run, prepared, request, key):
        if not self.able:
            raise cu.Diverged("no")
        return cu.FineTune().forget(run, prepared, request, key)


def test_what_fails_is_passed_over_and_what_always_fails_left_out(world):
    run, test = world
    found = tune(run, {"one": Fails(), "two": Fails()}, [3, 4], KEY, test=test, grids={"one": [{"able": True}]})
    assert list(found) == ["one"] and np.isnan(found["one"].before) and found["one"].method == Fails(True)
    assert tune(run, {"moves": Moves()}, [3], KEY, test=test)["moves"].tried == 1  # no dataclass, no grid


def test_every_setting_of_every_grid_is_one_of_its_method(world):
    run, _ = world
    for name in cu.registry.names("methods"):
        if not (kind := cu.registry.every("methods")[name]).own_noise and name != "perturbed_removal":
            for settings in grid(run, kind()):
                cu.registry.build("methods", name, **settings)
    assert len(grid(run, cu.NegGrad(epochs=3))) >= 4 and grid(run, cu.Retrain()) == grid(run, Moves()) == []


def test_without_accuracies_the_losses_decide():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 4))
    data, test = cu.Dataset(x[:40], x[:40].sum(1)), cu.Dataset(x[40:], x[40:].sum(1))
    run = trained(cu.regression(cu.models.Linear(classes=1, dtype=jnp.float64), data), learning_rate=0.02)
    grids = {"finetune": [{"learning_rate": 1e-3}]}
    found = tune(run, {"finetune": cu.FineTune(learning_rate=0.3, epochs=5)}, np.arange(9), KEY, test=test, grids=grids)
    assert 0 < found["finetune"].before <= found["finetune"].score <= 1


def test_another_request_is_of_the_same_kind_and_shares_no_example(world):
    run, _ = world
    labels, owners = np.asarray(run.problem.data.y), np.asarray(run.problem.data.owners)
    for words in (
        "random:10",
        "class:1:6",
        "owner:3,4",
        "hardest:5",
        "influential:5",
        "near_duplicates:4",
        "ids:1,2,3",
    ):
        ids = cu.requests.parse(words, KEY, run)
        other = cu.requests.another(words, KEY, run, ids)
        assert not len(np.intersect1d(ids, other)) and len(other) == len(ids), words
        if words.startswith("class"):
            assert len({*labels[other]}) == 1 and labels[other][0] != 1
        if words.startswith("owner"):
            assert sorted(np.flatnonzero(np.isin(owners, owners[other]))) == sorted(other)
    planted = cu.requests.another("mislabelled:2", KEY, run, np.array([5, 6]), planted=[5, 6, 7, 8])
    assert planted.tolist() == [7, 8]
    most = cu.requests.another("random:100", KEY, run, np.arange(100))
    assert len(most) == 10
    with pytest.raises(cu.BadInput, match="no other request of this kind is left"):
        cu.requests.another("random:119", KEY, run, np.arange(119))


def test_a_comparison_says_whether_and_how_it_was_tuned(world):
    run, test = world
    ids = cu.requests.random(KEY, run, 10)
    options = {"methods": cu.every_method(names=["finetune", "neggrad"]), "test": test, "shadows": 0}
    (plain,) = cu.compare(run, {"random:10": ids}, KEY, **options)
    assert plain.settings["tuning"].startswith("untuned")
    other = cu.requests.another("random:10", KEY, run, ids)
    (report,) = cu.compare(run, {"random:10": ids}, KEY, tuning={"random:10": other}, **options)
    assert "the best of" in report.settings["tuning of neggrad"] and "tuning" not in report.settings
    assert report.rows["neggrad"]["tuning_seconds"] > 0 and "tuning_seconds" not in report.rows["retrain"]
    assert report.rows["neggrad"]["tug_of_war"] >= plain.rows["neggrad"]["tug_of_war"] - 0.05
    with pytest.raises(cu.BadInput, match=r"has example \d+ of the judged one"):
        cu.compare(run, {"random:10": ids}, KEY, tuning={"random:10": ids[:3]}, **options)


def test_the_command_line_tunes(folder, capsys):
    certunl("compare", folder, "--methods", "neggrad", "finetune", "--requests", "random:6", "--shadows", 0, "--tune")
    assert "random:6: tuning neggrad" in capsys.readouterr().err
    (report,) = json.loads((folder / "comparison.json").read_text())
    assert "tuning_seconds" in report["rows"]["neggrad"] and "the best of 6" in report["settings"]["tuning of neggrad"]
    assert "got 3" in refused(capsys, "compare", folder, "--shadows", 3, "--tune")
