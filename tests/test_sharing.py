"""`certunl forget --distributed`: all processes compute, and process 0 alone records, releases and speaks."""

import shutil
import signal

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.folders import RunFolder
from certunl.folders.sharing import follow, shared
from certunl.training.mesh import in_force, own_devices
from tests.cases import KEY, network, trained, vector
from tests.test_hosts import ended, start
from tests.verbs import SMALL, certunl, forgotten_by, listing, refused

MAIN = "from certunl.cli import main; main()"
GGN = ("--method", "newton", "--set", "operator=ggn", "damping=0.1")
LISSA = ("solver=lissa", "solver.depth=20", "solver.repeats=5", "solver.batch_size=10")


@pytest.fixture(scope="module")
def wine(tmp_path_factory):
    place = tmp_path_factory.mktemp("hosts") / "wine"
    certunl("train", place, *SMALL, "dtype=float64")
    certunl("prepare", place)
    return place


@pytest.fixture
def place(wine, tmp_path):
    return shutil.copytree(wine, tmp_path / "wine")


def forget(place, *words, program=MAIN):
    """Two processes with the same words."""
    return start(2, "-c", program, "forget", str(place), "--request", "random:6", *words, "--distributed")


def update(place, part):
    """The un-noised parameters of a release, as one vector."""
    folder = RunFolder(place)
    facts = folder.ledger.leader(part).facts["applied"]
    return vector(folder.releases.updates.arrays(part, facts["arrays"]))


@pytest.mark.parametrize("solver", [("solver=cg", "solver.tol=1e-12"), LISSA], ids=["cg", "lissa"])
def test_the_command_line_forgets_by_two_processes_as_by_one(solver, wine, place):
    words = (*GGN, *solver, "--id", "ORDER-17")
    (one, out, _), other = ends = ended(forget(place, *words))
    assert (one, other[:2]) == (0, (0, "")), ends
    assert "forgot 6 examples" in out and "by 2 processes; written to releases/newton-1" in out
    alone = shutil.copytree(wine, place.with_name("alone"))
    certunl("forget", alone, "--request", "random:6", *words)
    there, here = update(alone, "newton-1"), update(place, "newton-1")
    assert np.linalg.norm(here - there) < 1e-10 * np.linalg.norm(there - vector(RunFolder(wine).run.params))
    assert forgotten_by(place, "newton-1") == forgotten_by(alone, "newton-1")
    certunl("ledger", place, "--verify")
    store = RunFolder(place).rows("hessian_free", cu.HessianFree())
    assert not np.isin(forgotten_by(place, "newton-1"), store.units).any()


def test_a_wrong_request_ends_both_processes_with_one_sentence_and_is_not_in_the_ledger(place):
    ends = ended(forget(place, *GGN, "--request", "ids:4,100000"))
    assert [status for status, *_ in ends] == [2, 2] and ends[1][1:] == ("", ""), ends
    assert ends[0][1] == "" and "certunl: the request names example 100000" in ends[0][2]
    assert RunFolder(place).ledger.entries() == []


def test_a_request_that_the_method_refuses_ends_both_and_is_in_the_ledger_as_of_one_process(wine, place, capsys):
    words = ("--method", "newton", "--set", "damping=1e-9", "gradient=retained", "solver=dense")
    ends = ended(forget(place, *words))
    assert [status for status, *_ in ends] == [2, 2] and ends[1][1:] == ("", ""), ends
    [entry] = RunFolder(place).ledger.entries()
    assert entry.facts["refused"]["reason"] in ends[0][2]
    alone = shutil.copytree(wine, place.with_name("alone"))
    sentence = refused(capsys, "forget", alone, "--request", "random:6", *words)
    [other] = RunFolder(alone).ledger.entries()
    assert (entry.state, entry.ids.tolist(), entry.order.key) == ("refused", other.ids.tolist(), other.order.key)
    assert entry.facts["refused"]["reason"] == other.facts["refused"]["reason"] in sentence
    certunl("ledger", place, "--verify")


WAITS = """
import os, time
from certunl.methods.newton import Newton
forget = Newton.forget
def slow(*it):
    print("computing", flush=True)
    time.sleep(60 * int(os.environ["RANK"]))
    return forget(*it)
Newton.forget = slow
"""


def test_a_process_killed_while_it_forgets_leaves_the_request_to_any_number_of_processes(place):
    first, second = forget(place, *GGN, "--id", "ORDER-17", program=WAITS + MAIN)
    assert "computing\n" in iter(second.stdout.readline, "")
    second.send_signal(signal.SIGKILL)
    (status, _, words), _ = ended([first, second])
    assert status == 2 and "certunl: process 1 of 2 died" in words
    assert [entry.state for entry in RunFolder(place).ledger.entries()] == ["asked"]
    certunl("forget", place, "--request", "random:6", *GGN, "--id", "ORDER-17")
    [entry] = RunFolder(place).ledger.entries()
    assert (entry.state, entry.part, entry.size) == ("erased", "newton-1", 6)
    certunl("ledger", place, "--verify")


FAILS = """
import os
from certunl.methods.newton import Newton
forget = Newton.forget
def failing(*it):
    if os.environ["RANK"] == "0":
        raise ValueError("a fault of process 0")
    return forget(*it)
Newton.forget = failing
"""


def test_an_open_request_that_fails_in_one_process_ends_all_before_the_next_one(place, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(cu.Newton, "forget", lambda *it: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            certunl("forget", place, "--request", "random:6", *GGN, "--id", "ORDER-17")
    ends = ended(forget(place, *GGN, "--id", "ORDER-18", program=FAILS + MAIN))
    assert [status for status, *_ in ends] == [2, 2], ends
    assert "cannot be computed together (ValueError: a fault of process 0)" in ends[0][2]
    assert [(entry.order.id, entry.state) for entry in RunFolder(place).ledger.entries()] == [("ORDER-17", "asked")]
    certunl("forget", place, "--request", "random:6", *GGN, "--id", "ORDER-18")
    assert [entry.state for entry in RunFolder(place).ledger.entries()] == ["erased", "erased"]


def test_a_process_with_another_run_refuses(place, monkeypatch):
    monkeypatch.setattr("certunl.folders.sharing._call", lambda: {"mark": "another"})
    with pytest.raises(cu.BadInput, match="is another run here than in process 0"):
        follow(RunFolder(place), lambda name, settings: cu.Newton())


class Devices(cu.Unlearner):
    """It tells on which devices it would work."""

    spreads = True

    def forget(self, run, prepared, request, key):
        return in_force().devices


def test_only_what_a_method_spreads_is_computed_on_all_devices():
    with own_devices():
        assert shared("devices", {}, Devices()).forget(trained(network()), None, [3], KEY) == tuple(jax.devices())
        assert in_force() is None
    assert all(shared("", {}, method) is method for method in (cu.Retrain(), cu.HessianFree(), cu.NoisySGD()))


def test_a_method_that_spreads_nothing_is_the_work_of_process_0_alone(place):
    ends = ended(forget(place, "--id", "ORDER-17"))
    assert [status for status, *_ in ends] == [0, 0] and ends[1][1] == "", ends
    assert "by process 0 of 2 alone; written to releases/hessian_free-1" in ends[0][1]
    before = listing(place), RunFolder(place).ledger.head
    assert [status for status, *_ in ended(forget(place, "--id", "ORDER-17"))] == [0, 0]  # it does nothing again
    assert (listing(place), RunFolder(place).ledger.head) == before
