"""A full disk at any step of forget, and a read-only one, are said in a sentence, and nothing is lost."""

import os
import shutil
import subprocess

import pytest

from certunl import disk
from certunl.folders import RunFolder
from certunl.folders.checking import problems
from tests.verbs import certunl, refused

STEP = int(os.environ.get("CERTUNL_DISK_STEP", 24))
"""The steps in KiB by which less is free. The suite tries about 20 of them."""


@pytest.fixture
def small(tmp_path):
    """A file system of 4 MiB, or a skip where none may be mounted."""
    place = tmp_path / "small"
    place.mkdir()
    try:
        words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
        mounted = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no program mount")
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


WORDS = ("--request", "random:4", "--id", "A", "--trivial")


def filled(place, free):
    """Fills the file system of `place` but for `free` bytes."""
    filler = place / "filler"
    filler.write_bytes(bytes(max(shutil.disk_usage(place).free - free, 0)))
    return filler


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax leaves coroutines behind
def test_a_disk_that_is_full_at_any_step_is_said_and_the_same_command_goes_on(prepared, small, monkeypatch, capsys):
    folder, ends = small / "run", set()
    for free in range(0, 480, STEP):
        shutil.copytree(prepared, folder)
        filler = filled(small, 1024 * free)
        if free % (2 * STEP) == 0:
            assert "nothing was done: free some" in refused(capsys, "forget", folder, *WORDS)
            assert RunFolder(folder).ledger.entries() == []
        with monkeypatch.context() as patched:
            patched.setattr(disk, "check_room", lambda *_: None)  # as if another program took the room meanwhile
            try:
                capsys.readouterr()
                certunl("forget", folder, *WORDS)
                ends.add("done")
            except SystemExit as stop:
                said = capsys.readouterr().err
                assert stop.code == 2 and said.count("\n") == 1 and "same command again" in said, (free, said)
                state = [entry.state for entry in RunFolder(folder).ledger.entries()]
                ends.add(state[0] if state else "nothing")
        filler.unlink()
        certunl("forget", folder, *WORDS)
        [entry] = RunFolder(folder).ledger.entries()
        assert entry.state == "erased" and len(entry.ids) == 4 and problems(RunFolder(folder)) == [], free
        shutil.rmtree(folder)
    assert {"nothing", "asked", "done"} <= ends, ends


def test_a_read_only_disk_is_said_and_can_still_be_listed_and_verified(prepared, small, capsys):
    folder = small / "run"
    shutil.copytree(prepared, folder)
    certunl("forget", folder, *WORDS)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    said = refused(capsys, "forget", folder, "--request", "ids:100")
    assert "Read-only file system" in said or "cannot be locked" in said
    certunl("ledger", folder, "--verify")
    certunl("verify", folder / "releases" / "hessian_free-1", "--run", folder)
    assert "everything is as it was written" in capsys.readouterr().out
