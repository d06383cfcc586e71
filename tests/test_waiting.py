"""A request that was asked and cannot be computed waits, holds up no other, and can be withdrawn. What a folder of
somebody else says leads nowhere."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import warnings

import pytest

import certunl as cu
from certunl.certificates.account import Account
from certunl.folders import RunFolder
from certunl.folders._records import append
from certunl.folders.checking import problems
from certunl.folders.spending import Spent, account_of
from certunl.methods.finetune import FineTune
from certunl.stream import method_of
from tests.verbs import certunl, refused

CODE = """
import os, sys
from certunl import cli
from certunl.folders.line import Line
Line.save = lambda *_: os._exit(9)
cli.main(sys.argv[1:])
"""


@pytest.fixture
def folder(own_copy):
    return own_copy


def asked(*words, text=""):
    """A verb that ends when everything is computed and nothing is written, as by a kill."""
    environment = os.environ | {"JAX_ENABLE_X64": "1"}
    call = [sys.executable, "-c", CODE, *map(str, words)]
    assert subprocess.run(call, env=environment, input=text, text=True, capture_output=True).returncode == 9


def test_a_request_that_was_only_asked_can_be_withdrawn_and_asked_again(folder, capsys):
    asked("forget", folder, "--request", "ids:3", "--id", "A", "--method", "finetune")
    certunl("ledger", folder)
    assert "asked, ids:3 by finetune" in capsys.readouterr().out
    certunl("ledger", folder, "--withdraw", "A")
    assert "refused, ids:3 by finetune" in capsys.readouterr().out
    assert "only one that was asked and not applied" in refused(capsys, "ledger", folder, "--withdraw", "A")
    assert "has no request B" in refused(capsys, "ledger", folder, "--withdraw", "B")
    assert not (folder / "updates").exists()
    certunl("forget", folder, "--request", "ids:3", "--id", "A", "--method", "finetune")
    assert RunFolder(folder).ledger.entry("A").state == "erased" and problems(RunFolder(folder)) == []


def test_a_request_that_cannot_be_computed_waits_and_holds_up_no_other(folder, monkeypatch, capsys):
    asked("forget", folder, "--request", "ids:3", "--id", "A", "--method", "finetune")

    def fails(*_):
        raise RuntimeError("the device is on fire\nand more")

    with monkeypatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("default")
        patched.setattr(FineTune, "forget", fails)
        certunl("forget", folder, "--request", "ids:9", "--id", "B", "--trivial")
        said = capsys.readouterr().err
        assert "warning: request A waits (the device is on fire); certunl ledger RUN --withdraw A withdraws it" in said
    states = {entry.order.id: entry.state for entry in RunFolder(folder).ledger.entries()}
    assert states == {"A": "asked", "B": "erased"}
    certunl("prepare", folder)
    assert "an interrupted request comes first: forgot 1 examples" in capsys.readouterr().out
    assert RunFolder(folder).ledger.entry("A").state == "erased"


def test_a_request_that_is_answered_late_is_in_every_later_state_of_its_line(folder):
    words = ("--method", "finetune", "--trivial")
    asked("forget", folder, "--request", "ids:3", "--id", "A", *words)
    certunl("ledger", folder, "--withdraw", "A")
    for id, ids in (("B", "9"), ("A", "3"), ("C", "27")):
        certunl("forget", folder, "--request", f"ids:{ids}", "--id", id, *words)
    place = RunFolder(folder)
    assert [entry.order.id for entry in place.ledger.entries()] == ["A", "B", "C"]
    assert [place.ledger.entry(id).part for id in "BAC"] == ["finetune-1", "finetune-2", "finetune-3"]
    assert place.ledger.parts("finetune") == ["finetune-1", "finetune-2", "finetune-3"]
    facts = {id: place.ledger.entry(id).facts["applied"] for id in "ABC"}
    assert facts["C"]["after"] == "finetune-2" and facts["C"]["before"] == facts["A"]["params"]
    releases = place.releases.load()
    assert {name: ids.tolist() for name, (ids, _) in releases.items()} == {
        "finetune-1": [9],
        "finetune-2": [3, 9],
        "finetune-3": [3, 9, 27],
    }
    certunl("purge", folder)
    assert place.releases.updates.names() == ["finetune-3"] and problems(place) == []


def test_a_group_is_answered_as_a_group_after_a_kill(folder):
    lines = "".join(json.dumps({"id": f"O-{i}", "ids": [i]}) + "\n" for i in (3, 9, 27))
    asked("serve", folder, "--trivial", text=lines)
    place = RunFolder(folder)
    assert len(place.ledger.unfinished()) in (1, 3)  # what waited when the first line was read
    certunl("prepare", folder)
    entries = place.ledger.entries()
    assert all(entry.state == "erased" for entry in entries) and len({entry.part for entry in entries}) == 1
    assert place.ledger.account("hessian_free").releases == 1 and problems(place) == []


@pytest.mark.parametrize(
    "facts",
    [
        {"updates": ["../../outside-1"], "model": False},
        {"updates": ["/etc"], "model": False},
        {"updates": "x", "model": False},
        {"model": False},
        {"updates": []},
    ],
)
def test_a_ledger_of_somebody_hostile_leads_nowhere(folder, tmp_path, capsys, facts):
    (tmp_path / "outside-1").mkdir()
    (tmp_path / "outside-1" / "file").touch()
    root = RunFolder(folder).ledger.root
    connection = sqlite3.connect(folder / "ledger.sqlite")
    with connection:
        append(connection, root, 0, "purged", facts | {"requests": [], "forgotten": {}})
    connection.close()
    assert "facts of another form" in refused(capsys, "prepare", folder)
    assert (tmp_path / "outside-1" / "file").exists()


@pytest.mark.parametrize("place", ["updates/finetune-1", "releases/finetune-1", "prepared/x", "report", "owners.json"])
def test_nothing_goes_through_a_link(folder, tmp_path, capsys, place):
    certunl("forget", folder, "--request", "ids:3", "--method", "finetune")
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "a.png").touch(mode=0o600)
    target = folder / place
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(exist_ok=True)
    target.symlink_to(outside)
    for verb in ("prepare", "report", "purge", "ledger"):
        assert "is a link or no file" in refused(capsys, verb, folder)
    assert (outside / "a.png").stat().st_mode & 0o777 == 0o600 and outside.stat().st_mode & 0o777 == 0o700


def test_functions_of_python_itself_are_no_data_set_of_a_folder(folder, capsys):
    facts = json.loads((folder / "run.json").read_text())
    facts["settings"] |= {"dataset": "os:system", "dataset_settings": {"command": f"touch {folder}/ran"}}
    (folder / "run.json").write_text(json.dumps(facts))
    assert "belongs to Python itself" in refused(capsys, "prepare", folder)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("settings", [{"solver": {"": "os:system", "command": "true"}}, {"solver": "os:system"}])
def test_settings_of_a_folder_s_method_import_nothing(settings):
    with pytest.raises(cu.BadInput, match="name an object of a module"):
        method_of("newton", settings)
    with pytest.raises(cu.BadInput, match="registered nowhere"):
        method_of("os:system", {"command": "true"})


def test_thousands_of_exact_retrainings_end_no_folder():
    retrained = Spent(restores=True)
    account = account_of([("a", retrained)] * 3000, "a")
    assert account.releases == 0 and account.since_training() == Account(before=None)
    account = Account()
    for _ in range(3000):
        account = account.restarted()
    assert account.since_training().releases == 0
