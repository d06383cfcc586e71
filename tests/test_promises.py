"""A request has a name, is answered once, and every verb finishes what was interrupted."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from certunl.folders import RunFolder
from certunl.folders.checking import problems
from certunl.rows.erasing import kept
from tests.verbs import SMALL, certunl, forgotten_by, refused

CODE = "from certunl import cli; import sys; cli.main(sys.argv[1:])"
X64 = os.environ | {"JAX_ENABLE_X64": "1"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "wine"
    certunl("train", place, *SMALL)
    return place


@pytest.fixture
def folder(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def test_the_same_id_does_nothing_again_and_prints_what_was_done(folder, capsys):
    words = ("forget", folder, "--request", "random:4", "--id", "ORDER-17", "--reason", "Art. 17")
    certunl(*words)
    first, head = capsys.readouterr().out, RunFolder(folder).ledger.head
    certunl(*words)
    again = capsys.readouterr().out
    assert again.splitlines()[1:] == first.splitlines()[1:] and RunFolder(folder).ledger.head == head
    assert again.startswith("forgot 4 examples in ") and "request ORDER-17 is entry 1" in again
    for other in (("--request", "random:5"), ("--epsilon", "2"), ("--method", "finetune"), ("--trivial",)):
        assert "ORDER-17 names another request (random:4 by hessian_free" in refused(capsys, *words, *other)
    entry = RunFolder(folder).ledger.entry("ORDER-17")
    assert entry.order.reason == "Art. 17" and len(entry.ids) == 4


def test_a_file_that_changed_is_another_request(folder, tmp_path, capsys):
    listed = tmp_path / "ids.txt"
    listed.write_text("3\n4\n")
    words = ("forget", folder, "--request", f"ids:@{listed}", "--id", "A", "--method", "finetune")
    certunl(*words)
    certunl(*words)
    listed.write_text("3\n5\n")
    assert "names another request (ids:3,4 by finetune" in refused(capsys, *words)


@pytest.mark.parametrize("id", ["", "-a", "a b", "x" * 65, "é", "a/b", "a\n"])
def test_a_name_that_is_none_is_refused(folder, capsys, id):
    assert "an id is 1 to 64 letters" in refused(capsys, "forget", folder, f"--id={id}")


def test_a_refused_request_is_recorded_and_may_be_asked_again(folder, capsys):
    words = ("forget", folder, "--request", "ids:7", "--id", "A", "--method", "newton", "--set", "operator=ggn")
    assert "distance" in refused(capsys, *words, "--distance", "0.1")
    entry = RunFolder(folder).ledger.entry("A")
    assert entry.state == "refused" and "distance" in entry.facts["refused"]["reason"] and entry.part == ""
    certunl("ledger", folder)
    assert "refused, ids:7 by newton" in capsys.readouterr().out
    certunl(*words)
    assert RunFolder(folder).ledger.entry("A").state == "erased" and RunFolder(folder).ledger.parts() == ["newton-1"]
    assert problems(RunFolder(folder)) == []


def interrupted(folder, *words, at="_publish"):
    """A forget that ends where `at` begins, as by a kill."""
    code = f"import os\nfrom certunl.folders import releases\nreleases.Releases.{at} = lambda *_: os._exit(9)\n{CODE}"
    call = [sys.executable, "-c", code, "forget", str(folder), *words]
    assert subprocess.run(call, env=X64, capture_output=True).returncode == 9


@pytest.mark.parametrize("at", ["applied", "_publish", "finished"])
def test_the_retry_of_a_random_request_forgets_the_same_people(folder, capsys, at):
    interrupted(folder, "--request", "random:4", at=at)
    [open_] = RunFolder(folder).ledger.unfinished()
    certunl("forget", folder, "--request", "random:4")
    printed = capsys.readouterr().out
    assert printed.startswith("an interrupted request comes first: forgot 4 examples")
    assert RunFolder(folder).ledger.forgotten().tolist() == open_.ids.tolist()
    assert [entry.state for entry in RunFolder(folder).ledger.entries()] == ["erased"]
    certunl("forget", folder, "--request", "random:4")  # nothing is open now, so these are four more
    assert len(RunFolder(folder).ledger.forgotten()) == 8


def test_every_verb_finishes_what_is_open_and_says_so(folder, capsys):
    for number, verb in enumerate((("prepare", folder), ("evaluate", folder), ("purge", folder), ("report", folder))):
        interrupted(folder, "--request", "random:2", "--method", "finetune", "--id", f"ORDER-{number}")
        capsys.readouterr()
        certunl(*verb)
        assert "an interrupted request comes first: forgot 2 examples" in capsys.readouterr().out
    assert len(RunFolder(folder).ledger.forgotten()) == 8 and problems(RunFolder(folder)) == []


REQUESTS = int(os.environ.get("CERTUNL_REQUESTS", 48))
"""How many requests eight processes give. 400 need the 142 examples of wine, some of them often, and ten minutes."""


def test_eight_processes_answer_each_request_once(folder):
    certunl("prepare", folder)
    each, distinct = REQUESTS // 8, min(REQUESTS // 2, 130)
    lists = [[f"ORDER-{(process * each + i) % distinct}" for i in range(each)] for process in range(8)]
    code = "from certunl import cli; import sys\nfor i in sys.argv[2:]:\n    " + (
        "cli.main(['forget', sys.argv[1], '--wait', '--trivial', '--id', i, '--request', 'ids:' + i.split('-')[1]])"
    )
    calls = [[sys.executable, "-c", code, str(folder), *ids] for ids in lists]
    processes = [subprocess.Popen(call, env=X64, stdout=subprocess.DEVNULL) for call in calls]
    assert [process.wait() for process in processes] == [0] * 8
    place = RunFolder(folder)
    entries = place.ledger.entries()
    assert sorted(entry.order.id for entry in entries) == sorted({i for ids in lists for i in ids})
    assert all(entry.state == "erased" and entry.ids.tolist() == [int(entry.order.id[6:])] for entry in entries)
    assert place.ledger.forgotten().tolist() == list(range(distinct)) and problems(place) == []
    assert place.ledger.account("hessian_free").releases == distinct
    assert [int(entry.part.split("-")[1]) for entry in entries] == list(range(1, distinct + 1))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_long_computation_with_a_sentence(folder, number):
    solver = ("--method", "newton", "--set", "solver=lissa", "solver.depth=100000000", "operator=ggn", "damping=1")
    call = [sys.executable, "-c", CODE, "forget", str(folder), *solver, "--request", "ids:3"]
    with subprocess.Popen(call, env=X64, stderr=subprocess.PIPE, text=True) as process:
        while not RunFolder(folder).ledger.unfinished():
            time.sleep(0.1)
        time.sleep(1)
        start = time.perf_counter()
        process.send_signal(number)
        said = process.communicate()[1]
        assert time.perf_counter() - start < 10  # without the thread it takes hours
    assert process.returncode == 128 + number and said.splitlines()[-1].startswith("certunl: stopped; if the ledger")


def test_a_purge_leaves_no_word_and_no_id_and_still_refuses_a_second_request(folder, capsys):
    certunl("prepare", folder)
    ids = [101, 113, 127]
    words = ("--request", "ids:" + ",".join(map(str, ids)), "--reason", "Ms. Unmistakable asked")
    certunl("forget", folder, *words, "--id", "A")
    certunl("forget", folder, "--request", "ids:105", "--id", "B")  # between them, so that the union hides which
    certunl("evaluate", folder)
    needle = np.array(ids, np.int32).tobytes()
    assert b"Unmistakable" in (folder / "ledger.sqlite").read_bytes()
    capsys.readouterr()
    certunl("purge", folder)
    printed = capsys.readouterr().out
    assert "removed: 1 earlier updates; evaluation.json" in printed and "of 2 requests in the ledger" in printed
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"Unmistakable" not in everything and b"ids:101" not in everything and needle not in everything
    assert not (folder / "ledger.sqlite-journal").exists() and not (folder / "updates" / "hessian_free-1").exists()
    assert "example 113 is already forgotten" in refused(capsys, "forget", folder, "--request", "ids:113")
    certunl("forget", folder, *words, "--id", "A")  # its words are gone, and its id is known
    assert "request A is entry 1" in capsys.readouterr().out
    certunl("evaluate", folder)  # the last state of a line can still be judged
    assert json.loads((folder / "evaluation.json").read_text())[0]["forgotten"] == 4
    certunl("purge", folder, "--model")
    assert not (folder / "model").exists()
    certunl("forget", folder, "--request", "ids:5", "--trivial")  # the line goes on
    assert "was purged; only retrain" in refused(capsys, "forget", folder, "--method", "newton")
    certunl("forget", folder, "--method", "retrain", "--request", "ids:3")
    assert problems(RunFolder(folder)) == [] and forgotten_by(folder, "retrain-1") == [3]


def test_what_is_left_of_the_forgotten_is_listed(folder, capsys):
    certunl("ledger", folder, "--residue")
    assert "left" not in capsys.readouterr().out
    certunl("prepare", folder)
    certunl("forget", folder, "--request", "ids:3")
    certunl("forget", folder, "--request", "ids:4")
    certunl("forget", folder, "--request", "ids:5", "--method", "finetune")
    capsys.readouterr()
    certunl("ledger", folder, "--residue")
    left = [line for line in capsys.readouterr().out.splitlines() if line.startswith("left: ")]
    for start in ("model/", "updates/hessian_free-1:", "updates/hessian_free-2 has not", "updates/finetune-1 has not"):
        assert any(line.startswith(f"left: {start}") for line in left), start
    assert any("prepared/hessian_free_first_order has no row of them" in line for line in left)


def test_rows_of_every_form_are_erased_whatever_method_forgets(folder):
    certunl("prepare", folder)
    certunl("prepare", folder, "--set", "form=retained")
    certunl("forget", folder, "--request", "ids:3,9", "--method", "finetune")
    for form in ("first_order", "retained"):
        left = kept(folder / "prepared" / f"hessian_free_{form}", np.arange(20))
        assert left.tolist() == [i for i in range(20) if i not in (3, 9)]
    assert RunFolder(folder).ledger.entries()[0].facts["erased"]["rows"] == {
        "hessian_free_first_order": 2,
        "hessian_free_retained": 2,
    }
