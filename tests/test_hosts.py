"""Several processes that work together have the numbers of one; when one dies, the others say so, and any number goes
on with the work."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

import certunl as cu
from certunl.training import hosts
from tests import team
from tests.cases import network, trained
from tests.verbs import SMALL, certunl


def start(count, *words):
    """`count` processes with the variables that torchrun sets."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    names = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count), "JAX_NUM_CPU_DEVICES": "1"}
    names |= {"JAX_ENABLE_X64": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [
        subprocess.Popen([sys.executable, *words], env=os.environ | names | {"RANK": str(rank)}, **pipes)
        for rank in range(count)
    ]


def ended(processes):
    """(status, stdout, stderr) of each process, which all must end."""
    try:
        said = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    own = [re.sub(r"^\[Gloo\].*\n", "", out, flags=re.MULTILINE) for out, _ in said]  # JAX's collectives on a CPU
    return [(p.returncode, out, errors) for p, out, (_, errors) in zip(processes, own, said, strict=True)]


@pytest.mark.parametrize("count", [2, 4])
def test_processes_have_the_numbers_of_one(count, tmp_path):
    names = ["rows", "models", "cg", "lissa", "store"]
    ends = ended(start(count, "-m", "tests.team", str(tmp_path), *names))
    assert [(status, out) for status, out, _ in ends] == [(0, "ended\n")] * count, ends
    run = trained(network(), weight_decay=0.1)
    for name in names:
        alone = team.work(name, run, tmp_path / "alone")
        for rank in range(count):
            with np.load(tmp_path / f"{name}-{rank}.npz") as numbers:
                assert np.linalg.norm(numbers["arr_0"] - alone) < 1e-10 * np.linalg.norm(alone), (name, rank)


def test_a_dead_process_ends_the_other_with_a_sentence_and_three_go_on(tmp_path):
    first, second = start(2, "-m", "tests.team", str(tmp_path), "slow-store")
    assert "wrote\n" in iter(second.stdout.readline, "")
    second.send_signal(signal.SIGKILL)
    begin = time.monotonic()
    (status, _, words), _ = ended([first, second])
    assert (status, time.monotonic() - begin < 30) == (2, True)
    sentence = "certunl: process 1 of 2 died; what is written stays, and the same command goes on from it"
    assert sentence in words.splitlines()
    written = len(list((tmp_path / "store" / "c").glob("*/0")))
    assert 1 <= written < 15  # of two rows each
    ends = ended(start(3, "-m", "tests.team", str(tmp_path), "slow-store"))
    assert [status for status, *_ in ends] == [0, 0, 0], ends
    assert all("wrote" in out for _, out, _ in ends)
    assert sum(out.count("wrote") for _, out, _ in ends) == 15 - written
    alone = team.work("store", trained(network(), weight_decay=0.1), tmp_path / "alone")
    for rank in range(3):
        with np.load(tmp_path / f"slow-store-{rank}.npz") as numbers:
            np.testing.assert_allclose(numbers["arr_0"], alone, rtol=1e-10, atol=1e-14)


def test_the_error_of_one_process_is_what_the_others_say(tmp_path):
    (one, _, words), (other, _, traceback) = ended(start(2, "-m", "tests.team", str(tmp_path), "own-error"))
    assert (one, other) == (2, 1)
    assert "process 1 of 2 ended (BadInput: this process has a reason of its own)" in words
    assert "certunl.errors.BadInput: this process has a reason of its own" in traceback


def test_the_command_line_prepares_by_two_processes(tmp_path):
    place = tmp_path / "wine"
    certunl("train", place, *SMALL)
    ends = ended(start(2, "-c", "from certunl.cli import main; main()", "prepare", str(place), "--distributed"))
    assert [status for status, *_ in ends] == [0, 0], ends
    assert "rows in" in ends[0][1] and "by 2 processes" in ends[0][1] and ends[1][1] == ""
    certunl("forget", place, "--request", "random:6")


def test_without_a_cluster_the_sentence_says_how_to_start_one(monkeypatch):
    monkeypatch.setattr("jax.distributed.initialize", lambda **_: (_ for _ in ()).throw(ValueError("no address")))
    with pytest.raises(cu.BadInput, match=r"no address.*srun, mpirun or torchrun"), cu.distributed():
        pass
    for name, value in {"MASTER_ADDR": "host", "MASTER_PORT": "12", "WORLD_SIZE": "two", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(cu.BadInput, match="invalid literal"), cu.distributed():
        pass


def test_torchrun_leaves_its_port_to_its_agent_and_gives_each_process_one_accelerator(monkeypatch):
    words = {"MASTER_ADDR": "host", "MASTER_PORT": "12", "WORLD_SIZE": "16", "RANK": "9", "LOCAL_WORLD_SIZE": "8"}
    for name, value in (words | {"LOCAL_RANK": "1", "TORCHELASTIC_USE_AGENT_STORE": "True"}).items():
        monkeypatch.setenv(name, value)
    expected = {"coordinator_address": "host:13", "num_processes": 16, "process_id": 9, "local_device_ids": [1]}
    assert hosts._of_torchrun() == expected
