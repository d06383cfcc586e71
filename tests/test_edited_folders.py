"""A ledger, an update or a release that somebody edited, cut or exchanged is refused."""

import json
import shutil
import sqlite3

import pytest

from certunl.base import digest
from tests.verbs import SMALL, certunl, refused


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "wine"
    certunl("train", place, *SMALL)
    return place


@pytest.fixture
def folder(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def test_a_hand_that_edits_the_ledger_is_noticed(folder, tmp_path, capsys):
    certunl("forget", folder, "--request", "ids:3", "--method", "finetune")
    certunl("forget", folder, "--request", "ids:4", "--method", "finetune")
    for number, edit in enumerate(
        (
            "UPDATE events SET facts = replace(facts, 'NOT CERTIFIED', 'PROVED') WHERE state = 'applied'",
            "UPDATE events SET time = '2020-01-01' WHERE number = 2",
            "DELETE FROM events WHERE number = 4",
            "DELETE FROM events WHERE number > 4",
            "UPDATE entries SET state = 'refused' WHERE number = 1",
            "UPDATE entries SET part = 'finetune-9' WHERE number = 1",
            "UPDATE examples SET ids = x'05000000' WHERE entry = 1",
            "UPDATE examples SET beside = '{}' WHERE entry = 2",
            "DELETE FROM examples WHERE entry = 1",
            "INSERT INTO forgotten VALUES ('finetune', x'', x'05000000')",
            "UPDATE events SET facts = json_set(facts, '$.part', '../../x-1') WHERE state = 'applied'",
            "DELETE FROM entries",
            "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM examples; END",
            "PRAGMA user_version = 9",
        )
    ):
        copy = tmp_path / str(number)
        shutil.copytree(folder, copy)
        connection = sqlite3.connect(copy / "ledger.sqlite")
        with connection:
            connection.execute(edit)
        connection.close()
        assert "ledger" in refused(capsys, "prepare", copy), edit
        with pytest.raises(SystemExit) as stop:
            certunl("ledger", copy, "--verify")
        assert stop.value.code in (1, 2), edit


def test_a_ledger_that_was_cut_or_belongs_to_another_run_is_refused(folder, trained, tmp_path, capsys):
    certunl("forget", folder, "--request", "ids:3", "--method", "finetune")
    early = (folder / "ledger.sqlite").read_bytes()
    certunl("forget", folder, "--request", "ids:4", "--method", "finetune")
    late = (folder / "ledger.sqlite").read_bytes()
    shutil.copytree(folder / "releases" / "finetune-2", tmp_path / "published")
    (folder / "ledger.sqlite").write_bytes(early)
    assert "updates/finetune-2 is there, and the ledger does not know it" in refused(capsys, "prepare", folder)
    for kind in ("updates", "releases"):
        shutil.rmtree(folder / kind / "finetune-2")
    certunl("prepare", folder)  # cut whole: only what others hold can show it
    certunl("forget", folder, "--request", "ids:4", "--method", "finetune")
    capsys.readouterr()
    assert "was cut or written anew" in refused(capsys, "verify", tmp_path / "published", "--run", folder)
    certunl("verify", tmp_path / "published")
    assert "only its owner can compare" in capsys.readouterr().out
    certunl("verify", folder / "releases" / "finetune-2", "--run", folder)
    other = tmp_path / "other"
    certunl("train", other, *SMALL, "--seed", "3")
    (other / "ledger.sqlite").write_bytes(late)
    assert "event 1 does not follow from this run" in refused(capsys, "forget", other)


def test_a_release_of_an_earlier_version_has_no_mu_and_a_later_one_has_the_one_of_its_epsilon(folder, tmp_path, capsys):
    certunl("forget", folder, "--request", "ids:3", "--method", "retrain")
    place = tmp_path / "copy"
    shutil.copytree(folder / "releases" / "retrain-1", place)
    certunl("verify", place, "--run", folder)
    assert ", mu 0, " in capsys.readouterr().out
    facts = {k: v for k, v in json.loads((place / "facts.json").read_text()).items() if k not in ("digest", "mu")}
    for mu in ({}, {"mu": "0"}):
        (place / "facts.json").write_text(json.dumps(facts | mu | {"digest": digest(facts | mu, ())}))
        if mu:
            assert "no usable 'mu'" in refused(capsys, "verify", place)
        else:
            certunl("verify", place)
            assert "mu" not in capsys.readouterr().out


@pytest.mark.parametrize("change", ["verdict", "epsilon", "mu", "head", "entry", "bit", "schema", "facts", "arrays"])
def test_a_release_that_was_edited_is_refused(folder, tmp_path, capsys, change):
    certunl("forget", folder, "--request", "ids:3", "--method", "finetune")
    place = tmp_path / "copy"
    shutil.copytree(folder / "releases" / "finetune-1", place)
    facts = json.loads((place / "facts.json").read_text())
    if change == "facts":
        (place / "facts.json").unlink()
    elif change == "arrays":
        shutil.rmtree(place / "arrays")
    elif change == "bit":
        file = next(path for path in (place / "arrays").rglob("*") if path.is_file() and path.name == "manifest.ocdbt")
        file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    else:
        edit = {"verdict": "PROVED", "epsilon": 1.0, "mu": 0.5, "head": "0" * 64, "entry": 7, "schema": 2}[change]
        facts = {k: v for k, v in (facts | {change: edit}).items() if k != "digest"}
        (place / "facts.json").write_text(json.dumps(facts | {"digest": digest(facts, ())}))  # with a fitting digest
    assert refused(capsys, "verify", place, "--run", folder)
