"""Files and folders are whole or absent, on the disk when a call returns, and nobody else's are touched."""

import errno
import os
import shutil
import subprocess

import numpy as np
import pytest

import certunl as cu
from certunl import disk
from certunl.folders.arrays import save_arrays
from certunl.folders.json_files import read_json, write_json
from tests.cases import network, trained


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "run"
    (place / "updates").mkdir(parents=True)
    write_json(place / "run.json", {"format": 0})
    return place


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".lock")


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(folder, tmp_path):
    outside = tmp_path / "outside"
    (outside / ".name.certunl-7").mkdir(parents=True)
    (outside / ".name.certunl-7" / "kept").touch()
    for name in (".env", ".git/config", ".ipynb_checkpoints/a.b.c", "updates/.x", "updates/.a.b.1", ".run.json.12.old"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "linked").symlink_to(outside, target_is_directory=True)
    (folder / ".linked.certunl-3").symlink_to(outside, target_is_directory=True)
    before = below(folder)
    (folder / ".run.json.certunl-12").touch()
    (folder / ".run.certunl-6/.run.json.certunl-6").mkdir(parents=True)  # one half-written within another
    (folder / "updates/.newton-1.certunl-5/arrays").mkdir(parents=True)
    (folder / "updates/.newton-1.certunl-5/arrays/d").touch()
    with disk.lock(folder):
        assert below(folder) == before
    assert (outside / ".name.certunl-7" / "kept").exists()


def test_what_whole_and_write_leave_when_they_are_killed_is_such_a_leftover(folder, monkeypatch):
    monkeypatch.setattr(disk.shutil, "rmtree", lambda *_, **__: None)  # as if there were no time for it
    with pytest.raises(KeyboardInterrupt), disk.whole(folder / "updates" / "newton-1") as partial:
        (partial / "facts.json").touch()
        raise KeyboardInterrupt
    monkeypatch.undo()
    assert len(below(folder / "updates")) == 2
    with disk.lock(folder):
        assert below(folder / "updates") == []


def test_nothing_is_replaced(folder):
    place = folder / "updates" / "newton-1"
    place.mkdir()
    with disk.whole(place) as partial:  # an empty folder is nothing
        (partial / "first").touch()
    refused = pytest.raises(cu.BadInput, match="is there already, with content; nothing is replaced")
    with refused, disk.whole(place) as partial:
        (partial / "second").touch()
    assert below(place) == ["first"] and below(folder / "updates") == ["newton-1", "newton-1/first"]


def test_a_disk_that_is_full_leaves_the_file_as_it_was_and_no_other(folder, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(folder / "run.json", {"format": 1})
    with pytest.raises(OSError, match="No space left"), disk.whole(folder / "updates" / "newton-1") as partial:
        (partial / "facts.json").touch()
    assert read_json(folder / "run.json", "")["format"] == 0 and below(folder) == ["run.json", "updates"]


def test_a_name_is_written_after_its_content_and_before_the_call_returns(folder, monkeypatch):
    steps = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def told(name, function):
        def call(*args, **kwargs):
            steps.append(name if name != "fsync" else os.path.basename(os.readlink(f"/proc/self/fd/{args[0]}")))
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(disk.os, "fsync", told("fsync", fsync))
    monkeypatch.setattr(disk.os, "rename", told("rename", rename))
    monkeypatch.setattr(disk.os, "replace", told("replace", replace))
    number = os.getpid()
    disk.write_text(folder / "a.md", "text")
    assert steps == [f".a.md.certunl-{number}", "replace", "run"]
    steps.clear()
    with disk.whole(folder / "updates" / "b") as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "file").write_text("text")
    content, (*end,) = steps[:-2], steps[-2:]
    assert sorted(content) == sorted(["file", "inner", f".b.certunl-{number}"]) and end == ["rename", "updates"]


def test_a_partial_file_that_somebody_laid_there_as_a_link_is_not_written_through(folder, tmp_path):
    target = tmp_path / "target"
    target.write_text("kept")
    (folder / f".a.md.certunl-{os.getpid()}").symlink_to(target)
    disk.write_text(folder / "a.md", "text", mode=0o600)
    assert target.read_text() == "kept" and (folder / "a.md").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def small(tmp_path):
    """A file system of 600 KiB, or a skip where none may be mounted."""
    place = tmp_path / "small"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no program mount")
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_said_in_a_sentence_and_rows_that_are_whole_stay(small, caplog):
    numbers = np.random.default_rng(0).normal(size=200_000)
    with pytest.raises(cu.BadInput, match="No space left on device; free some"):
        save_arrays(small / "arrays", {"a": numbers})
    assert not caplog.records  # no traceback of a library beside the sentence
    shutil.rmtree(small / "arrays", ignore_errors=True)
    for left in small.glob("arrays*"):
        shutil.rmtree(left)
    run = trained(network(hidden=(600,)), epochs=1, batch_size=15)
    method = cu.HessianFree(gather=cu.rows.Forward(chunk=2))
    with pytest.raises(cu.BadInput, match="free some, then give the same command again; what is written stays"):
        method.store(run, small / "rows")
    assert 0 < len(method.open(run, small / "rows")) < 30
    with pytest.raises(OSError) as full:
        disk.write_text(small / "a.md", "a" * 700_000)
    assert disk.trouble(full.value).endswith("free some, then give the same command again")
    assert not list(small.glob(".*"))


def test_other_errors_are_no_trouble_of_the_disk():
    assert disk.trouble(ValueError("no such loss")) is None
    said = disk.trouble(PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/a"))
    assert said == "Permission denied: /a; this user may not write there; change that, then try again"
