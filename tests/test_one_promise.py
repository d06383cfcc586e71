"""The rule of an id is one, whoever asks: a retry is the same request, and another request is never swallowed."""

import json
import os
import shutil
import subprocess
import sys
import warnings

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.folders import RunFolder
from certunl.folders.checking import problems
from certunl.methods.finetune import FineTune
from certunl.rows.erasing import kept
from tests.cases import KEY
from tests.test_waiting import asked
from tests.verbs import certunl, refused

MAIN = "from certunl import cli; import sys; cli.main(sys.argv[1:])"
TUNE = ("--method", "finetune")


@pytest.fixture
def folder(own_copy):
    return own_copy


def run(*words, **settings):
    environment = os.environ | {"JAX_ENABLE_X64": "1"} | settings.pop("environment", {})
    call = [sys.executable, "-c", MAIN, *map(str, words)]
    return subprocess.run(call, env=environment, capture_output=True, text=True, **settings)


def test_after_a_purge_an_id_swallows_no_other_request(folder, capsys):
    certunl("forget", folder, "--request", "ids:1,2", "--id", "A", *TUNE)
    certunl("forget", folder, "--request", "random:3", "--id", "B", *TUNE)
    certunl("purge", folder)
    for words in ("ids:50,51", "ids:50,51,52", "ids:1,50", "random:4"):
        assert "names another request" in refused(capsys, "forget", folder, "--request", words, "--id", "A", *TUNE)
    for words in ("ids:2,1", "ids:1,2"):
        certunl("forget", folder, "--request", words, "--id", "A", *TUNE)
    certunl("forget", folder, "--request", "random:3", "--id", "B", *TUNE)
    assert "names another request" in refused(capsys, "forget", folder, "--request", "random:4", "--id", "B", *TUNE)
    assert len(RunFolder(folder).ledger.entries()) == 2
    stream = cu.Stream.open(folder, "finetune")
    budget = cu.Budget(epsilon=1.0, delta=1e-5)
    with pytest.raises(cu.BadInput, match="names another request"):
        stream.forget([77], budget, KEY, id="A")


def test_the_same_examples_are_the_same_request_in_any_order_and_at_any_door(folder, capsys, monkeypatch):
    certunl("forget", folder, "--request", "ids:8,4", "--id", "A", *TUNE)
    certunl("forget", folder, "--request", "ids:4,8", "--id", "A", "--seed", 3, *TUNE)
    stream = cu.Stream.open(folder, "finetune")
    stream.forget([8, 4], cu.Budget(epsilon=1.0, delta=1e-5), KEY, id="A")
    assert len(RunFolder(folder).ledger.entries()) == 1
    assert "names another request" in refused(capsys, "forget", folder, "--request", "ids:4,9", "--id", "A", *TUNE)
    assert "names another request" in refused(
        capsys, "forget", folder, "--request", "ids:4,8", "--id", "A", "--epsilon", 2, *TUNE
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_an_output_that_cannot_be_written_forgets_nobody_else(folder, capsys):
    words = ("forget", folder, "--request", "random:4", *TUNE)
    with open("/dev/full", "w") as full:
        call = [sys.executable, "-c", MAIN, *map(str, words)]
        done = subprocess.run(call, env=os.environ | {"JAX_ENABLE_X64": "1"}, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2 and b"the output cannot be written" in done.stderr and done.stderr.count(b"\n") == 1
    certunl(*words)
    assert [entry.size for entry in RunFolder(folder).ledger.entries()] == [4]
    certunl(*words)  # that one was told, so this is a new one
    assert [entry.size for entry in RunFolder(folder).ledger.entries()] == [4, 4]


def test_a_request_that_another_verb_has_finished_is_gone_on_with(folder):
    asked("forget", folder, "--request", "random:4", *TUNE)
    certunl("prepare", folder)
    certunl("forget", folder, "--request", "random:4", *TUNE)
    assert [entry.size for entry in RunFolder(folder).ledger.entries()] == [4]


def test_a_request_that_waits_is_not_recorded_again(folder, monkeypatch, capsys):
    def fails(*_):
        raise cu.errors.Unavailable("the disk is on fire")

    with monkeypatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("default")
        patched.setattr(FineTune, "forget", fails)
        for _ in range(3):
            capsys.readouterr()
            with pytest.raises(SystemExit):
                certunl("forget", folder, "--request", "random:2", *TUNE)
            assert "certunl: the disk is on fire" in capsys.readouterr().err
    assert [entry.state for entry in RunFolder(folder).ledger.entries()] == ["asked"]
    certunl("forget", folder, "--request", "random:2", *TUNE)
    assert [entry.state for entry in RunFolder(folder).ledger.entries()] == ["erased"]


def test_the_sentence_of_a_refusal_goes_with_a_purge(folder):
    certunl("forget", folder, "--request", "ids:93", *TUNE)
    asked("forget", folder, "--request", "ids:17", "--id", "A", *TUNE)
    ledger = RunFolder(folder).ledger
    with RunFolder(folder).locked():
        ledger.add([ledger.entry("A")], "refused", {"reason": "example 17 is already forgotten"})
    assert ledger.entry("A").facts["refused"]["reason"] == "example 17 is already forgotten"
    assert b"example 17 is" in (folder / "ledger.sqlite").read_bytes() and problems(RunFolder(folder)) == []
    certunl("purge", folder)
    assert b"example 17 is" not in (folder / "ledger.sqlite").read_bytes() and problems(RunFolder(folder)) == []
    assert "purged" in ledger.entry("A").facts["refused"]["reason"]


def test_one_line_ends_no_service(folder, tmp_path, capsys, monkeypatch):
    lines = [
        {"id": "G1", "ids": [1]},
        {"id": "G2", "owner": "9" * 5000},
        {"id": "G3", "ids": []},
        {"id": "G4", "ids": [2]},
    ]
    (tmp_path / "asked.jsonl").write_text("\n".join(map(json.dumps, lines)))
    certunl("serve", folder, "--input", tmp_path / "asked.jsonl")
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["id"], one["state"]) for one in said] == [
        ("G1", "erased"),
        ("G2", "refused"),
        ("G3", "refused"),
        ("G4", "erased"),
    ]
    assert "whole numbers" in refused(capsys, "forget", folder, "--request", f"owner:{'9' * 5000}")
    monkeypatch.setattr("certunl.cli._service.earlier", lambda *_: 1 / 0)
    certunl("serve", folder, "--input", tmp_path / "asked.jsonl")
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["state"] for one in said} == {"refused"} and "ZeroDivisionError" in said[0]["reason"]


def test_a_damaged_store_says_what_to_do(folder, capsys):
    [store] = (folder / "prepared").iterdir()
    content = (store / "store.json").read_text()
    (store / "store.json").write_text(content.replace('"form"', '"fOrm"', 1))
    said = refused(capsys, "forget", folder, "--request", "ids:3", "--id", "A", *TUNE)
    assert f"remove {store} and prepare again; until then request A is open" in said
    shutil.rmtree(store)
    certunl("prepare", folder)
    assert RunFolder(folder).ledger.entry("A").state == "erased"
    assert len(kept(store, np.array([3]))) == 0 and len(kept(store, np.array([4]))) == 1


def test_after_the_model_is_purged_only_what_is_left_is_trained_on(folder, capsys):
    certunl("forget", folder, "--request", "ids:1,2", *TUNE)
    certunl("purge", folder, "--model")
    for words in ("hardest:2", "influential:2"):
        assert "the trained model was purged" in refused(
            capsys, "forget", folder, "--request", words, "--method", "retrain"
        )
    certunl("forget", folder, "--request", "ids:7", "--method", "retrain")
    place = RunFolder(folder)
    whole = cu.Retrain().forget(place.untrained, None, [1, 2, 7], KEY)
    params = place.releases.updates.load("retrain-1")[0]
    jax.tree.map(np.testing.assert_array_equal, whole.params, params)
