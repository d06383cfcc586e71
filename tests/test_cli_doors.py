"""The user's own data, models and losses by the command line, from training to a release."""

import json
import re
import shlex
import shutil
import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.folders import RunFolder, build, compose
from certunl.training.provenance import own
from tests import doorsteps
from tests.doorsteps import SMALL, TABLE
from tests.verbs import certunl, forgotten_by, refused


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the user's files, as the current one."""
    yield from doorsteps.entered(tmp_path, monkeypatch)


def test_later_verbs_run_elsewhere_and_notice_other_data(here, monkeypatch, capsys):
    certunl("train", "run", *TABLE, *SMALL, "data.label=bought")
    run = here / "run"
    settings = json.loads((run / "run.json").read_text())["settings"]
    assert settings["dataset"] == str(here / "users.csv") and settings["dataset_settings"] == {"label": "bought"}
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (elsewhere / "ids.txt").write_text("# order 17\n3, 4\n\n7\n")
    certunl("forget", run, "--method", "finetune", "--request", "ids:@ids.txt")
    assert forgotten_by(run, "finetune-1") == [3, 4, 7]
    rows = (here / "users.csv").read_text()
    (here / "users.csv").write_text(rows.replace("Basel", "Basle"))
    assert "Basle" in refused(capsys, "forget", run, "--method", "finetune")
    (here / "users.csv").write_text(rows.replace(",yes", ",no", 1))
    assert "fingerprint" in refused(capsys, "forget", run, "--method", "finetune")
    (here / "users.csv").unlink()
    assert "there is no file" in refused(capsys, "forget", run, "--method", "finetune")


@pytest.mark.parametrize("model", ["Net", "Twin", "Equi", "made"])
def test_a_class_of_the_user_s_own_trains_and_is_read_back(here, model, capsys):
    setting = "width=5" if model == "made" else "hidden=5"
    certunl("train", "run", "--dataset", "data.npz", "--model", f"nets_h2:{model}", "--set", setting, *SMALL)
    assert f"trained nets_h2:{model} (43 parameters)" in capsys.readouterr().out
    run = RunFolder(here / "run").run
    assert jax.tree.structure(run.params) == jax.tree.structure(run.problem.init(jax.random.key(0)))
    certunl("forget", "run", "--method", "finetune", "--request", "owner:3,5")
    printed = capsys.readouterr().out
    assert "not all certunl's own" in printed and not own(run.problem, run.recipe)


def test_a_function_gives_data_and_a_class_without_classes_is_not_handed_any(here, capsys):
    words = ("--dataset", "nets_h2:clusters", "--model", "nets_h2:Three", "--set", "data.size=30", *SMALL)
    certunl("train", "run", *words)
    assert "on 24 examples" in capsys.readouterr().out
    assert RunFolder(here / "run").run.params["Dense_0"]["kernel"].shape == (4, 3)


@pytest.mark.parametrize(
    ("data", "loss", "kind", "outputs"),
    [
        ("data.npz", None, "classification", 3),
        ("numbers.npz", None, "regression", 1),
        ("bits.npz", None, "regression", 2),
        ("bits.npz", "multilabel", "multilabel", 2),
        ("data.npz", "regression", "regression", 1),
        ("numbers.npz", "nets_h2:huber", None, 1),
        ("tags.npz", "sequence", "sequence", 3),
    ],
)
def test_a_loss_decides_what_a_problem_is_and_how_many_outputs_it_has(here, data, loss, kind, outputs):
    np.savez(here / "tags.npz", x=np.ones((20, 5, 4)), y=np.arange(100).reshape(20, 5) % 3)
    model = "nets_h2:Three" if loss == "sequence" else "linear"
    problem = build(compose(data, model, (), {}, 0, None, loss)).problem
    assert problem.kind == kind
    params = jax.eval_shape(problem.init, jax.random.key(0))
    assert jax.eval_shape(problem.losses.predict, params, problem.data.x).shape[-1] == outputs


def test_regression_ends_with_a_test_loss_and_binary_with_an_accuracy(here, capsys):
    certunl("train", "one", "--dataset", "numbers.npz", "--model", "linear", "--set", *SMALL)
    run, test = RunFolder(here / "one").run, RunFolder(here / "one").splits.test
    expected = float(run.problem.scores(run.params, test).losses.mean())
    assert f"test loss {expected:.4f}; written to one" in capsys.readouterr().out
    certunl("forget", "one", "--method", "finetune", "--request", "random:2")
    certunl("evaluate", "one")
    certunl("train", "two", *TABLE, *SMALL, "data.label=bought", "--loss", "binary")
    assert "(12 parameters)" in (printed := capsys.readouterr().out) and "test accuracy 0." in printed


def test_randomness_in_the_settings_turns_dropout_on(here):
    settings = compose("data.npz", "nets_h2:Net", ("randomness=3",), {}, 0)
    with pytest.warns(UserWarning, match="randomness is set"):  # this one has no dropout
        assert settings["randomness"] == 3 and build(settings).problem.randomness == 3
    assert build(compose("data.npz", "nets_h2:Net", (), {}, 0)).problem.randomness is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--dataset nothing.csv", "there is no file"),
        ("--dataset lab_h2:load", "there is no module 'lab_h2'"),
        ("--dataset nets_h2:nothing", "module nets_h2 has no 'nothing'; it has Equi, Net"),
        ("--dataset nets_h2:number", "nets_h2:number is int"),
        ("--dataset users.csv", "label must name the column to predict"),
        ("--dataset users.csv --set data.lable=bought", "has no setting 'lable'; it has label, owner"),
        ("--dataset users.csv --set data=bought", "data has settings of its own"),
        ("--dataset users.csv --set data.label=bought data.plan=none.json", "none.json cannot be read"),
        ("--dataset wine --set data.label=bought", "datasets/wine has no setting 'label'"),
        ("--model lab_h2:Net", "there is no module 'lab_h2'"),
        ("--model nets_h2:Nothing", "module nets_h2 has no 'Nothing'"),
        ("--model nets_h2:Net --set width=3", "there is no setting 'width'"),
        ("--model nets_h2:Twin --set rngs=3", "there is no setting 'rngs'"),
        ("--model nets_h2:net", "name the class, such as Net"),
        ("--model nets_h2:number", "no class and no function but a int"),
        ("--model nets_h2:bare", "use certunl.models.NNX(lambda rngs: Twin(..., rngs=rngs))"),
        ("--model nets_h2:clusters", "a model needs init(key, x)"),
        ("--model nets_h2:Picky", "ValueError: not today"),
        ("--model nets_h2:Twin --set hidden=x", "the model cannot be built for inputs of shape [4]"),
        ("--model math:log", "cannot be built"),
        ("--loss huber", "unknown loss 'huber'; known are classification, binary, regression, multilabel"),
        ("--loss nets_h2:number", "must be a function f(outputs, targets) -> f[b], got int"),
        ("--loss nets_h2:boom", "the losses cannot be computed for two examples (ValueError: no such loss)"),
        ("--loss nets_h2:mean", "one loss per example"),
        ("--loss binary", "labels"),
        ("--dataset numbers.npz --loss classification", "labels must be integers"),
        ("--dataset numbers.npz --mislabel 0.1", "these data have no classes"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_leaves_nothing(here, capsys, words, sentence):
    words = words.split()
    data = () if "--dataset" in words else ("--dataset", "data.npz")
    before = sorted(here.iterdir())
    assert sentence in refused(capsys, "train", "run", *data, *words)
    assert [path for path in sorted(here.iterdir()) if path.name != "__pycache__"] == before


def test_a_module_that_is_gone_and_a_changed_owner_are_named(here, monkeypatch, capsys):
    certunl("train", "run", "--dataset", "data.npz", "--model", "nets_h2:Net", "--set", *SMALL)
    assert "no owner 77" in refused(capsys, "forget", "run", "--request", "owner:1,77")
    assert "classes" not in refused(capsys, "forget", "run", "--request", "owner:anna")
    shutil.move("run", here.parent / "moved")
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    sys.modules.pop("nets_h2")
    said = refused(capsys, "forget", here.parent / "moved")
    assert "there is no module 'nets_h2'" in said and "call from the folder that holds it" in said


def test_the_readme_s_own_data_and_model_work(here, monkeypatch, capsys):
    section = (Path(cu.__path__[0]).parent / "README.md").read_text().split("### Your own data and model\n")[1]
    (here / "nets.py").write_text(re.findall(r"```py\n(.*?)```", section, re.DOTALL)[0])
    (here / "gone.txt").write_text("3\n5\n")
    for line in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[0].splitlines():
        program, *words = shlex.split(line, comments=True)
        if program == "cp":  # and the edit that its comment asks for
            Path(words[1]).write_text(json.dumps(json.loads(Path(words[0]).read_text()) | {"inferred": []}))
        else:
            certunl(*words)
    printed = capsys.readouterr().out
    first, second = (printed.index(f"{verdict}: certified_removal") for verdict in ("CONDITIONAL", "PROVED"))
    assert first < second and "forgot 2 examples" in printed and "test loss" in printed
    sys.modules.pop("nets")


def test_warnings_of_readers_are_one_line_on_stderr(here, capsys):
    warnings.simplefilter("always")
    np.savez(here / "same.npz", x=2.0**25 + np.arange(40)[:, None] % 4, y=np.arange(40) % 2)
    with jax.enable_x64(False):
        certunl("train", "run", "--dataset", "same.npz", "--model", "linear", "--set", "learning_rate=1e-30", *SMALL)
    errors = capsys.readouterr().err.splitlines()
    assert any(line.startswith("certunl: warning: different numbers of ") for line in errors)
