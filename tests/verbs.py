"""The command line as the tests call it."""

import pytest

from certunl import cli
from certunl.folders import RunFolder

SMALL = ("--dataset", "wine", "--model", "mlp", "--set", "epochs=4", "hidden=(8,)", "batch_size=32", "radius=20")


def certunl(*words):
    cli.main([str(word) for word in words])


def refused(capsys, *words):
    """The one sentence on stderr of a call that exits with 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        certunl(*words)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("certunl: ") and captured.err.count("\n") == 1
    return captured.err


def forgotten_by(folder, part):
    """The ids that the release `part` was asked to forget."""
    return [i for entry in RunFolder(folder).ledger.entries() if entry.part == part for i in entry.ids.tolist()]


def listing(folder):
    """Every file but the ledger with its content's size and time, to see that nothing changed."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name not in (".lock", "ledger.sqlite")]
    return {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in files}
