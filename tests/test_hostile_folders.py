"""What a folder of somebody else, or an edited one, must not do: reach outside, exchange people, end a verb."""

import contextlib
import json
import os
import shutil
import sqlite3

import pytest

import certunl as cu
from certunl.folders import RunFolder
from certunl.folders.checking import problems
from tests.cases import KEY, network
from tests.test_one_promise import TUNE, run
from tests.test_resuming import Killed, stopping
from tests.verbs import SMALL, certunl, refused


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "wine"
    certunl("train", place, *SMALL)
    certunl("prepare", place)
    certunl("forget", place, "--request", "ids:3", "--id", "A", *TUNE)
    return place


@pytest.fixture
def folder(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def test_a_second_training_replaces_no_run(folder, tmp_path, capsys):
    place = RunFolder(tmp_path / "new")
    built, settings = RunFolder(folder).built, RunFolder(folder).facts["settings"]
    place.reserve()  # as a training does before it reads its data
    shutil.copytree(folder, place.path)
    with pytest.raises(cu.BadInput, match="already exists"), place.training(settings, built):
        pytest.fail("the folder was given away")
    with pytest.raises(cu.BadInput, match="holds a run already"):
        place.write_run(RunFolder(folder).run, settings, built)
    assert RunFolder(place.path).ledger.entry("A").state == "erased" and problems(RunFolder(place.path)) == []


def test_a_journal_that_names_another_file_is_refused(folder, tmp_path, capsys):
    victim = tmp_path / "victim.txt"
    victim.write_text("kept")
    journal = folder / "ledger.sqlite-journal"
    name = str(victim).encode()
    journal.write_bytes(bytes(512) + name + len(name).to_bytes(4, "big") + bytes(4) + bytes.fromhex("d9d505f920a163d7"))
    for verb in (("ledger",), ("forget", "--request", "ids:4"), ("purge",)):
        assert "names another file" in refused(capsys, verb[0], folder, *verb[1:])
    assert victim.read_text() == "kept"


def test_owners_cannot_be_exchanged(tmp_path, capsys):
    rows = "".join(f"{i % 7},{i * i % 11},{'ann' if i % 3 else 'bob'},{'xy'[i % 2]}\n" for i in range(60))
    (tmp_path / "d.csv").write_text("a,b,who,label\n" + rows)
    place = tmp_path / "run"
    data = ("data.label=label", "data.owner=who", "epochs=1")
    certunl("train", place, "--dataset", tmp_path / "d.csv", "--model", "linear", "--set", *data)
    names = json.loads((place / "owners.json").read_text())
    one, two = list(names)[:2]
    (place / "owners.json").write_text(json.dumps(names | {one: names[two], two: names[one]}))
    with pytest.raises(SystemExit) as stop:
        certunl("ledger", place, "--verify")
    assert stop.value.code == 1 and "has not the owners of the data" in capsys.readouterr().out
    assert "has not the owners of the data" in refused(capsys, "forget", place, "--request", "owner:ann", *TUNE)
    (place / "owners.json").unlink()
    assert "has not the owners of the data" in refused(capsys, "forget", place, "--request", "owner:ann", *TUNE)


def test_a_trained_model_cannot_be_exchanged(folder, tmp_path, capsys):
    other = tmp_path / "other"
    certunl("train", other, *SMALL, "learning_rate=0.3")
    shutil.rmtree(folder / "model")
    shutil.copytree(other / "model", folder / "model")
    facts = json.loads((folder / "run.json").read_text())
    facts["model"] = json.loads((other / "run.json").read_text())["model"]
    (folder / "run.json").write_text(json.dumps(facts))
    assert "does not follow from this run" in refused(capsys, "forget", folder, "--request", "ids:4")


@pytest.mark.parametrize(
    "inner", ["prepared/hessian_free_first_order/c", "updates/finetune-1/arrays", "releases/finetune-1/facts.json"]
)
def test_nothing_goes_through_a_link_deep_in_a_folder(folder, tmp_path, capsys, inner):
    outside = tmp_path / "outside"
    shutil.move(folder / inner, outside)
    (folder / inner).symlink_to(outside)
    before = {p: p.read_bytes() for p in (outside.rglob("*") if outside.is_dir() else [outside]) if p.is_file()}
    with pytest.raises(SystemExit) as stop:
        certunl("ledger", folder, "--verify")
    assert stop.value.code == 1 and "link" in capsys.readouterr().out
    reads = "releases" not in inner
    with pytest.raises(SystemExit) if reads else contextlib.nullcontext():
        certunl("forget", folder, "--request", "ids:9", *TUNE)
    assert {p: p.read_bytes() for p in before} == before


def test_the_number_of_steps_of_a_state_cannot_be_edited(tmp_path):
    recipe, states = cu.Recipe(epochs=4, batch_size=10, learning_rate=0.1), tmp_path / "states"
    checkpoints = cu.Checkpoints(states, seconds=0)
    with pytest.raises(Killed):
        cu.train(network(), recipe, KEY, progress=stopping(5), checkpoints=checkpoints)
    [state] = states.iterdir()
    facts = json.loads((state / "facts.json").read_text())
    (state / "facts.json").write_text(json.dumps(facts | {"steps": facts["steps"] + 2}))
    with pytest.raises(cu.BadInput, match="is not as it was written"):
        cu.train(network(), recipe, KEY, checkpoints=checkpoints)
    (state / "facts.json").write_text(json.dumps(facts))
    os.rename(state, states / str(facts["steps"] + 2))
    with pytest.raises(cu.BadInput, match="is not as it was written"):
        cu.train(network(), recipe, KEY, checkpoints=checkpoints)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x64", {"a": 1}),
        ("settings", "x"),
        ("settings", {"dataset_settings": ""}),
        ("settings", {"dataset": 3}),
        ("settings", {"recipe": []}),
        ("settings", {"model_settings": 1}),
        ("provenance", [[]]),
        ("provenance", {"origin": []}),
        ("arrays", {}),
        ("model", []),
        ("fingerprint", 3),
    ],
)
def test_settings_of_another_type_are_refused_in_a_sentence(folder, capsys, name, value):
    facts = json.loads((folder / "run.json").read_text())
    facts[name] = facts[name] | value if isinstance(value, dict) and isinstance(facts[name], dict) else value
    (folder / "run.json").write_text(json.dumps(facts))
    for verb in (("forget", "--request", "ids:4"), ("prepare",)):
        refused(capsys, verb[0], folder, *verb[1:])


@pytest.mark.parametrize("value", [[], {}, "x", 10**30 * 10**290, 1e308, None])
def test_numbers_that_no_evaluation_wrote_end_no_report(folder, capsys, value):
    certunl("evaluate", folder)
    facts = json.loads((folder / "evaluation.json").read_text())
    facts[0]["rows"]["finetune-1"]["distance"] = value
    (folder / "evaluation.json").write_text(json.dumps(facts))
    if value is None:  # NaN
        return certunl("report", folder)
    assert "evaluation.json is damaged" in refused(capsys, "report", folder)


@pytest.mark.parametrize("content", ["[]", "{}", '{"identity": 3}', '{"reports": []}', "x"])
def test_what_an_evaluation_had_kept_and_is_damaged_is_made_again(folder, content):
    (folder / "evaluating").mkdir()
    (folder / "evaluating" / "reports.json").write_text(content)
    certunl("evaluate", folder)
    assert not (folder / "evaluating").exists() and (folder / "evaluation.json").exists()


def test_a_ledger_that_was_cut_is_noticed_by_its_list(folder, capsys):
    connection = sqlite3.connect(folder / "ledger.sqlite")
    with connection:
        for table in ("events", "entries", "examples"):
            connection.execute(f"DELETE FROM {table}")
    connection.close()
    assert "the ledger does not know it" in refused(capsys, "ledger", folder)


def test_a_ledger_is_listed_while_another_verb_works(folder, capsys):
    with RunFolder(folder).locked():
        certunl("ledger", folder)
        assert "A " in capsys.readouterr().out
        assert "another certunl" in refused(capsys, "ledger", folder, "--verify")


def test_names_that_a_terminal_cannot_show_end_no_verb(folder):
    words = ("forget", folder, "--request", "ids:9", "--reason", "José")
    assert run(*words, *TUNE).returncode == 0
    done = run("ledger", folder, "--json", environment={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and "Jos" in done.stdout
    assert run("forget", folder, "--request", "owner:José", environment={"PYTHONIOENCODING": "ascii"}).returncode == 2


def test_nobody_else_may_write_to_a_run_whatever_the_umask_says(tmp_path):
    before = os.umask(0)
    try:
        certunl("train", tmp_path / "run", *SMALL)
        certunl("prepare", tmp_path / "run")
    finally:
        os.umask(before)
    for path in (tmp_path / "run", tmp_path / "run" / ".lock", tmp_path / "run" / "ledger.sqlite"):
        assert path.stat().st_mode & 0o022 == 0, path


def test_a_word_that_is_no_method_is_said(folder, capsys):
    for verb in ("forget", "prepare", "serve"):
        assert "a method has forget" in refused(capsys, verb, folder, "--method", "os:getcwd")


def test_facts_of_another_form_are_damage(folder, capsys):
    place = folder / "updates" / "finetune-1" / "facts.json"
    place.write_text("[1, 2]")
    with pytest.raises(SystemExit) as stop:
        certunl("ledger", folder, "--verify")
    assert stop.value.code == 1 and "updates/finetune-1 is damaged" in capsys.readouterr().out
