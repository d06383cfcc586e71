"""The command line as the tests call it."""

import pytest

from certunl import cli

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


def listing(folder):
    """Every file with its content's size and time, to see that nothing changed."""
    return {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}
