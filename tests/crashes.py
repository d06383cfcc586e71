"""Crashes of a verb at each of its operations on files, and the states of a folder that they leave.

A preloaded library (crashes.c) copies the folder before each operation that changes it, SQLite's and TensorStore's
included. A kill leaves one of these copies. A power cut leaves of it only what was flushed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_suffix(".c")


def library(place: Path) -> Path:
    """The compiled library; a skip where it cannot be compiled."""
    built = place / "crashes.so"
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("operations on files are recorded on Linux by a library that a C compiler makes; there is none")
    words = [compiler, "-shared", "-fPIC", "-O1", "-w", "-o", built, _SOURCE, "-ldl", "-lpthread"]
    subprocess.run(words, check=True)
    return built


class Crashes:
    """The states of `folder` while `certunl WORDS` ran on it in a process of its own."""

    def __init__(self, folder: Path, words: tuple, place: Path, text: str = ""):
        place.mkdir()
        self.folder, self.copies = folder, place / "copies"
        self.copies.mkdir()
        variables = {"CRASH_FOLDER": folder, "CRASH_COPIES": self.copies, "LD_PRELOAD": library(place)}
        environment = os.environ | {"JAX_ENABLE_X64": "1"} | {name: str(value) for name, value in variables.items()}
        code = "from certunl import cli; import sys; cli.main(sys.argv[1:])"
        call = [sys.executable, "-c", code, *map(str, words)]
        done = subprocess.run(call, env=environment, capture_output=True, text=True, input=text)
        assert done.returncode == 0, done.stderr
        self.count = len((self.copies / "operations").read_text().splitlines())
        final = self.copies / str(self.count)
        final.mkdir()
        if folder.exists():
            shutil.copytree(folder, final / folder.name, symlinks=True)
        listed = subprocess.run(["find", folder, "-printf", "%i %y %P\n"], capture_output=True, text=True).stdout
        (final / "inodes").write_text(listed)
        lines = (self.copies / "flushed").read_text().splitlines() if (self.copies / "flushed").exists() else []
        self.flushed = [tuple(map(int, line.split())) for line in lines]

    def killed(self, number: int, place: Path) -> Path:
        """The folder as a kill before operation `number` leaves it, at the new `place`."""
        copy = self.copies / str(number) / self.folder.name
        if copy.exists():
            shutil.copytree(copy, place, symlinks=True)
        return place

    def cut(self, number: int, place: Path) -> Path:
        """The folder as a power cut before operation `number` leaves it: what was not flushed is lost."""
        self._lay(self._inode("", number), number, place)
        return place

    def _lay(self, inode: int | None, number: int, place: Path) -> None:
        """Lays out the last durable state of an inode at `place`."""
        if inode is None:
            return
        at = self._durable(inode, number)
        names = self._names(at if at is not None else number)
        path = next((path for path, (own, _) in names.items() if own == inode), None)
        if at is None:  # never flushed: an empty file or folder
            kind = "f" if path is None else names[path][1]
            place.mkdir() if kind == "d" else place.touch()
            return
        source = self.copies / str(at) / self.folder.name / path
        if names[path][1] != "d":
            shutil.copy2(source, place)
            return
        place.mkdir()
        place.chmod(source.stat().st_mode)
        for entry, (own, _) in names.items():
            parent, _, name = entry.rpartition("/")
            if entry and parent == path:
                self._lay(own, number, place / name)

    def _durable(self, inode: int, number: int) -> int | None:
        """The number of the copy that has the last flushed content of an inode; None if it has none."""
        at = 0 if inode in {own for own, _ in self._names(0).values()} else None
        for when, own in self.flushed:
            if own == inode and when <= number and any(i == own for i, _ in self._names(when).values()):
                at = when
        return at

    def _inode(self, path: str, number: int) -> int | None:
        return self._names(number).get(path, (None, ""))[0]

    def _names(self, number: int) -> dict[str, tuple[int, str]]:
        """path -> (inode, kind) in one of the copies."""
        if not hasattr(self, "_listed"):
            self._listed: dict[int, dict[str, tuple[int, str]]] = {}
        if number not in self._listed:
            file = self.copies / str(number) / "inodes"
            rows = [line.split(" ", 2) for line in file.read_text().splitlines()] if file.exists() else []
            self._listed[number] = {path: (int(inode), kind) for inode, kind, path in rows}
        return self._listed[number]

    def states(self, place: Path, step: int = 1) -> Iterator[tuple[str, Path]]:
        """(name, folder) of every state that a kill or a power cut leaves, and of the end; removed after use."""
        for number in [*range(0, self.count, step), self.count]:
            for name, state in (("kill", self.killed), ("power cut", self.cut)):
                folder = state(number, place / self.folder.name)
                yield f"{name} before operation {number}", folder
                shutil.rmtree(folder, ignore_errors=True)
