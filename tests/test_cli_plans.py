"""Plans, rows and owners of the user's own files by the command line."""

import csv
import json
import shutil

import numpy as np
import pytest

import certunl as cu
from certunl.cli import _making
from certunl.folders import RunFolder, build, compose
from tests import doorsteps
from tests.doorsteps import SMALL, TABLE
from tests.verbs import certunl, forgotten_by, refused


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the user's files, as the current one."""
    yield from doorsteps.entered(tmp_path, monkeypatch)


def test_a_table_is_understood_aloud_forgets_an_owner_by_name_and_is_proved_with_a_declared_plan(here, capsys):
    certunl("train", "run", *TABLE, "epochs=30", "batch_size=48", "data.label=bought", "data.owner=user")
    printed = capsys.readouterr().out
    for line in ("bought: the label, one of 2 classes: no, yes", "age: a number from ", "inferred from the rows"):
        assert line in printed
    assert printed.index("age: a number") < printed.index("trained linear") < printed.index("test accuracy")
    place = RunFolder(here / "run")
    assert (here / "run/plan.json").stat().st_mode & 0o777 == (here / "run/owners.json").stat().st_mode & 0o777 == 0o600
    assert "user0@example.org" not in (here / "run/run.json").read_text()
    assert place.owner_names == json.loads((here / "run/owners.json").read_text())
    certunl("forget", "run", "--method", "certified_removal", "--request", "owner:user0@example.org")
    assert "CONDITIONAL: certified_removal" in capsys.readouterr().out
    request = forgotten_by(place.path, "certified_removal-1")
    owners = np.asarray(place.run.problem.data.owners)
    assert request == np.flatnonzero(owners == place.owner_names["user0@example.org"]).tolist()

    plan = json.loads((here / "run/plan.json").read_text())
    (here / "declared.json").write_text(json.dumps(plan | {"inferred": []}))
    certunl("train", "second", *TABLE, "epochs=30", "batch_size=48", "data.plan=declared.json")
    assert "inferred" not in capsys.readouterr().out
    certunl("forget", "second", "--method", "certified_removal", "--request", 'owner:"Ada, Countess"')
    assert "PROVED: certified_removal" in capsys.readouterr().out
    same = RunFolder(here / "second").run.problem.data
    np.testing.assert_array_equal(same.x, place.run.problem.data.x)


def test_no_edit_of_a_plan_after_training_makes_a_certificate_proved(here, capsys):
    words = ("epochs=30", "batch_size=48")
    certunl("train", "first", *TABLE, *words, "data.label=bought")
    shutil.copy("first/plan.json", "plan.json")
    certunl("train", "run", *TABLE, *words, "data.plan=plan.json")
    plan = json.loads((here / "plan.json").read_text())
    assert plan["inferred"]
    (here / "plan.json").write_text(json.dumps(plan | {"inferred": []}))  # the file that training was given
    capsys.readouterr()
    certunl("forget", "run", "--method", "certified_removal", "--request", "random:2")
    assert "CONDITIONAL: certified_removal" in capsys.readouterr().out
    (here / "plan.json").unlink()
    certunl("forget", "run", "--method", "certified_removal", "--request", "random:2")
    assert "CONDITIONAL: certified_removal" in capsys.readouterr().out
    (here / "run/plan.json").write_text(json.dumps(plan | {"inferred": []}))  # the copy of training
    assert "does not match its fingerprint" in refused(capsys, "forget", "run", "--method", "certified_removal")


def test_the_plan_is_kept_before_training_and_a_training_that_failed_is_begun_again(here, capsys):
    words = ("train", "run", *TABLE, *SMALL, "data.label=bought")

    def fails(*_, **__):
        raise cu.Diverged("the loss became NaN")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(_making, "train_run", fails)
        certunl(*words)
    assert "the loss became NaN" in capsys.readouterr().err
    plan = json.loads((here / "run/plan.json").read_text())
    assert plan["label"]["name"] == "bought" and [path.name for path in (here / "run").iterdir()] == ["plan.json"]
    certunl(*words)
    assert json.loads((here / "run/plan.json").read_text()) == plan and (here / "run/run.json").exists()
    assert "already exists and is not empty" in refused(capsys, *words)


def test_rows_of_the_file_and_ids_of_training_examples_are_told_apart(here, capsys):
    data = np.load(here / "data.npz")
    certunl("train", "run", "--dataset", "data.npz", "--model", "nets_h2:Net", "--set", *SMALL)
    printed, rows = capsys.readouterr().out, RunFolder(here / "run").splits.rows
    assert f"{len(rows)} rows are training examples (ids 0 to {len(rows) - 1})" in printed
    trained, place = RunFolder(here / "run").run.problem.data, RunFolder(here / "run")
    np.testing.assert_allclose(trained.x, data["x"][rows].astype(np.asarray(trained.x).dtype))
    test = int(np.setdiff1d(np.arange(len(data["x"])), rows)[0])
    assert f"row {test} is no training example" in refused(capsys, "forget", "run", "--request", f"rows:{test}")
    certunl("forget", "run", "--request", f"rows:{rows[7]}")
    assert forgotten_by(place.path, "hessian_free-1") == [7]
    certunl("forget", "run", "--request", "ids:9,4")
    assert f"they are the rows {rows[4]}, {rows[9]} of the data" in capsys.readouterr().out


def test_an_owner_s_test_rows_are_counted_and_one_with_none_else_is_named(here, capsys):
    lines = (here / "users.csv").read_text().splitlines()
    splits = cu.read_csv(here / "users.csv", label="bought", owner="user")
    taken = int(np.setdiff1d(np.arange(len(lines) - 1), splits.rows)[0])
    column = lines[0].split(",").index("user")
    cells = next(csv.reader([lines[1 + taken]]))
    cells[column] = "only-tested"
    lines[1 + taken] = ",".join(f'"{cell}"' for cell in cells)
    (here / "users.csv").write_text("\n".join(lines) + "\n")
    certunl("train", "run", *TABLE, "data.label=bought", "data.owner=user")
    said = refused(capsys, "forget", "run", "--request", "owner:only-tested")
    assert "owner 'only-tested' has test rows only, which no training saw" in said
    splits = RunFolder(here / "run").splits
    name = next(n for n, i in RunFolder(here / "run").owner_names.items() if i in splits.test.owners and "," not in n)
    count = int((splits.test.owners == RunFolder(here / "run").owner_names[name]).sum())
    certunl("forget", "run", "--request", f"owner:{name}")
    assert f"{count} more of their rows are test rows" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["whole.npz", "whole.csv"])
def test_regression_on_whole_numbers_trains_on_the_numbers_and_not_on_their_places(here, name):
    values = np.array([30, 70, 30, 95] * 10)
    np.savez(here / "whole.npz", x=np.arange(40.0)[:, None] / 40, y=values)
    (here / "whole.csv").write_text("a,y\n" + "".join(f"{i / 40},{v}\n" for i, v in enumerate(values)))
    label = () if name.endswith("npz") else ("data.label=y",)
    words = ("--dataset", name, "--model", "linear", "--loss", "regression", "--set", "learning_rate=1e-9", *label)
    certunl("train", "run", *words, *SMALL)
    place = RunFolder(here / "run")
    np.testing.assert_array_equal(place.run.problem.data.y, values[place.splits.rows])
    plan = json.loads((here / "run/plan.json").read_text())
    if name.endswith("npz"):
        (here / "plan.json").write_text(json.dumps(plan | {"classes": [30, 70, 95]}))
        with pytest.raises(cu.BadInput, match="by the plan of the data the labels are classes"):
            build(compose(name, "linear", ("data.plan=plan.json",), {}, 0, loss="regression"))
