"""Kills at random moments: every request is answered once, in the end as without kills."""

import os
import shutil
import subprocess
import sys

import jax
import numpy as np

from certunl.folders import RunFolder
from certunl.folders.checking import problems, residue
from tests.verbs import certunl

COUNT = int(os.environ.get("CERTUNL_KILLS", 6))
"""The number of kills. 200 take about ten minutes."""

FORKS = """
import os, random, signal, sys, time
from certunl import cli  # imported once; JAX starts in each child alone
folder, count, rng = sys.argv[1], int(sys.argv[2]), random.Random(0)
def child(number):
    if (pid := os.fork()) == 0:
        out = os.open(os.devnull, os.O_WRONLY)
        os.dup2(out, 1), os.dup2(out, 2)
        cli.main(["forget", folder, "--id", f"K-{number}", "--request", f"ids:{number}", "--trivial"])
        os._exit(0)
    return pid
start = time.perf_counter()
os.waitpid(child(count), 0)
took = time.perf_counter() - start
for number in range(count):
    pid = child(number)
    time.sleep(took * rng.uniform(0.3, 1.1))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
print(took)
"""


def test_kills_at_random_lose_nothing_and_double_nothing(tmp_path):
    folder, calm = tmp_path / "run", tmp_path / "calm"
    certunl("train", folder, "--dataset", "digits", "--model", "linear", "--set", "epochs=3", "radius=6")
    certunl("prepare", folder)
    shutil.copytree(folder, calm)
    call = [sys.executable, "-c", FORKS, str(folder), str(COUNT)]
    subprocess.run(call, check=True, env=os.environ | {"JAX_ENABLE_X64": "1"}, stdout=subprocess.DEVNULL)
    for number in range(COUNT + 1):
        certunl("forget", folder, "--id", f"K-{number}", "--request", f"ids:{number}", "--trivial")
    place = RunFolder(folder)
    entries = place.ledger.entries()
    assert sorted(e.order.id for e in entries) == sorted(f"K-{number}" for number in range(COUNT + 1))
    assert (
        all(e.state == "erased" and e.order.id == f"K-{e.ids.tolist()[0]}" for e in entries) and problems(place) == []
    )
    assert any("has no row of them" in sentence for sentence in residue(place))
    for entry in entries:
        certunl("forget", calm, "--id", entry.order.id, "--request", entry.order.words, "--trivial")
    last = entries[-1].part
    for one, two in zip(
        *(jax.tree.leaves(RunFolder(p).releases.updates.load(last)[0]) for p in (folder, calm)), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    assert place.ledger.account("x").ratios == RunFolder(calm).ledger.account("x").ratios
