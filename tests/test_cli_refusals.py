"""Everything the verbs refuse, and a kill: one sentence, exit status 2, nothing written or lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from certunl import cli, disk
from tests.verbs import SMALL, certunl, listing, refused


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("train", "NEW", "--dataset", "mnits"), "known are adult, breast_cancer"),
        (("train", "NEW", "--model", "transformer"), "known are allcnn, cnn"),
        (("train", "NEW", "--set", "epoch=3"), "no setting 'epoch'"),
        (("train", "NEW", "--set", "epochs"), "name=value"),
        (("train", "NEW", "--set", "epochs=-3"), "epochs must be a whole number from 1"),
        (("train", "NEW", "--dataset", "wine", "--set", "classes=2"), "one logit per class"),
        (("train", "NEW", "--dataset", "wine", "--set", "learning_rate=1e30", "epochs=3"), "NaN or infinite"),
        (("train", "NEW", "--dataset", "svhn", "--data-dir", "NEW"), "put train_32x32.mat"),
        (("train", "NEW", "--dataset", "wine", "--train-size", "500"), "from 1 to 142"),
        (("train", "NEW", "--dataset", "wine", "--mislabel", "1.5"), "share of labels"),
        (("train", "RUN"), "not empty"),
        (("train", "RUN/run.json/x"), "cannot be written"),
        (("train", "NEW", "--set", "hidden=3"), "cannot be built"),
        (("train", "NEW", "--set", "radius=abc"), "radius must be a positive number"),
        (("train", "NEW", "--set", "activation=5"), "unknown activation"),
        (("train", "NEW", "--set", "l2=abc"), "l2 must be"),
        (("train", "NEW", "--model", "cnn"), "does not fit"),
        (("train", "NEW", "--seed", str(2**70)), "seed must be"),
        (("prepare", "NEW"), "no run folder"),
        (("prepare", "RUN", "--method", "hessianfree"), "known are certified_removal, descent_to_delete, finetune"),
        (("prepare", "RUN", "--set", "units=(500,)"), "no unit 500"),
        (("forget", "NEW"), "no run folder"),
        (("forget", "RUN", "--request", "ids:142"), "ids 0 to 141"),
        (("forget", "RUN", "--request", "ids:"), "random:SIZE"),
        (("forget", "RUN", "--name", "a/b"), "a name is"),
        (("forget", "RUN", "--name", "../up"), "a name is"),
        (("forget", "RUN", "--name", ""), "a name is"),
        (("forget", "RUN", "--method", "newton", "--set", "solver=5", "--name", "x"), "solver must be"),
        (("forget", "RUN", "--method", "newton", "--set", "assumed.speed=1", "--name", "x"), "no setting 'speed'"),
        (("forget", "RUN", "--request", "random:142", "--name", "x"), "every remaining"),
        (("forget", "RUN", "--request", "everyone"), "random:SIZE"),
        (("forget", "RUN", "--request", "mislabelled", "--name", "x"), "train with --mislabel SHARE"),
        (("forget", "RUN", "--epsilon", "0"), "epsilon must be a positive number"),
        (("forget", "RUN", "--delta", "1.5"), "delta must lie strictly between"),
        (("forget", "RUN", "--method", "newton", "--set", "damping=-1", "--name", "x"), "damping"),
        (("forget", "RUN", "--method", "newton", "--set", "damping=0", "--name", "x"), "not positive definite"),
        (
            ("forget", "RUN", "--method", "newton", "--set", "solver=lissa", "solver.scale=0.01", "--name", "x"),
            "raise scale",
        ),
        (("evaluate", "NEW"), "no run folder"),
        (("report", "NEW"), "no run folder"),
        (("report", "RUN", "--formats", "pdf", "xls"), "formats must be one of pdf, svg, csv, tex, got 'xls'"),
        (("compare", "RUN", "--formats", "xls"), "formats must be one of"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence_and_changes_nothing(folder, tmp_path, capsys, words, sentence):
    before, new = listing(folder), tmp_path / "new"
    said = refused(capsys, *(word.replace("NEW", str(new)).replace("RUN", str(folder)) for word in words))
    assert sentence in said
    assert listing(folder) == before and not new.exists()
    assert not [p for p in folder.rglob(".*") if p.name != ".lock" and p.parent == folder]


def test_a_half_written_a_changed_and_a_foreign_folder_are_refused(folder, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    facts = json.loads((copy / "run.json").read_text())
    facts["settings"]["seed"] = 1
    (copy / "run.json").write_text(json.dumps(facts))
    assert "fingerprint" in refused(capsys, "forget", copy)
    (copy / "run.json").write_text("{")
    assert "half-written" in refused(capsys, "forget", copy)
    for content in ("[]", '{"format": 6}', '{"a": 1}'):
        (copy / "run.json").write_text(content)
        assert "half-written" in refused(capsys, "prepare", copy)
    (copy / "run.json").write_text('{"format": 1}')
    assert "has format 1, this version reads 6" in refused(capsys, "prepare", copy)
    (copy / "run.json").unlink()
    assert "half-written" in refused(capsys, "evaluate", copy)
    (tmp_path / "empty").mkdir()
    assert "half-written" in refused(capsys, "prepare", tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())
    (copy / "run.json").write_text(json.dumps(json.loads((folder / "run.json").read_text()) | {"x64": False}))
    assert "JAX_ENABLE_X64=0" in refused(capsys, "prepare", copy)
    other = tmp_path / "other"
    certunl("train", other, *SMALL, "--seed", "1")
    shutil.copytree(folder / "prepared", other / "prepared")
    assert "belongs to another run" in refused(capsys, "forget", other)
    shutil.rmtree(other / "arrays")
    assert "missing or damaged" in refused(capsys, "prepare", other)


def test_unknown_verbs_and_options_exit_with_2(capsys):
    for words in (["fortget"], ["train", "x", "--speed", "3"], ["train"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert stop.value.code == 2


def test_two_at_once_on_one_folder_the_second_is_told_to_wait(folder, capsys):
    with disk.lock(folder):
        assert "another certunl" in refused(capsys, "forget", folder)


def test_a_kill_in_the_middle_of_writing_leaves_the_folder_as_it_was(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    before = sorted(p.name for p in (copy / "releases").iterdir())
    code = (
        "import sys, time, os\n"
        "from certunl import cli\n"
        "from certunl.folders import parts\n"
        "def slow(path, content):\n"
        "    print('writing', flush=True); time.sleep(60)\n"
        "parts.write_json = slow\n"
        "cli.main(sys.argv[1:])\n"
    )
    words = [sys.executable, "-c", code, "forget", str(copy), "--request", "random:2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=os.environ | {"JAX_ENABLE_X64": "1"}) as process:
        assert process.stdout is not None and process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    time.sleep(0.1)
    assert sorted(p.name for p in (copy / "releases").iterdir()) == before
    shutil.copytree(
        copy / "releases" / before[0], copy / "releases" / f".{before[0]}.certunl-99"
    )  # killed before the rename
    certunl("forget", copy, "--request", "random:2")
    assert len(list((copy / "releases").iterdir())) == len(before) + 1
