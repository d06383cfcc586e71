"""A folder that was damaged, edited or made by somebody hostile is refused in a sentence, or does no harm."""

import json
import os
import random
import shutil
import signal
import sqlite3
import warnings

import pytest

from tests.verbs import SMALL, certunl

COUNT = int(os.environ.get("CERTUNL_MUTATIONS", 60))
"""The number of mutated folders. 1,000 take about ten minutes."""

VALUES = (None, True, -1, 0, 10**30, 1e308, "", "x", "../../etc/passwd", [], {}, [[]], {"kind": "rumour"}, "\x00", "é")
ODD = ("finetune-9", "newton-1", ".newton-1.certunl-1", "a/../b-1".replace("/", "_"), "-1", "finetune-01")


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A folder with two lines, rows and pages."""
    place = tmp_path_factory.mktemp("runs") / "wine"
    certunl("train", place, *SMALL)
    certunl("prepare", place)
    certunl("forget", place, "--request", "ids:1,2", "--trivial")
    certunl("forget", place, "--method", "finetune", "--request", "random:3")
    certunl("forget", place, "--method", "finetune", "--request", "random:3")
    certunl("evaluate", place)
    return place


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


def flip(rng, folder):
    path = rng.choice([path for path in files(folder) if path.stat().st_size])
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 1, 50])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return path


def cut(rng, folder):
    path = rng.choice(files(folder))
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size + 1)])
    return path


def remove(rng, folder):
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.name != ".lock"))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return path


def exchange(rng, folder):
    one, two = rng.sample(files(folder), 2)
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    return one, two


def odd_file(rng, folder):
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.name != ".lock"))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    kind = rng.choice(["link", "dangling", "folder", "pipe", "loop", "random", "zero"])
    match kind:
        case "link":
            path.symlink_to(rng.choice(["/etc/passwd", "/etc", "/proc/self", "/dev/zero"]))
        case "dangling":
            path.symlink_to("absent")
        case "loop":
            path.symlink_to(path.name)
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "random":
            path.write_bytes(rng.randbytes(rng.choice([1, 100, 5000])))
        case "zero":
            path.write_bytes(bytes(rng.choice([1, 100, 5000])))
    return path, kind


def edit_json(rng, folder):
    path = rng.choice([path for path in files(folder) if path.suffix == ".json"])
    facts = json.loads(path.read_text())
    place = facts
    for _ in range(rng.randrange(1, 4)):
        keys = list(place) if isinstance(place, dict) else range(len(place)) if isinstance(place, list) else []
        if not keys:
            break
        key = rng.choice(list(keys))
        if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.7:
            place = place[key]
            continue
        if isinstance(place, dict) and rng.random() < 0.3:
            del place[key]
        else:
            place[key] = rng.choice(VALUES)
        break
    path.write_text(json.dumps(facts))
    return path


def edit_ledger(rng, folder):
    connection = sqlite3.connect(folder / "ledger.sqlite")
    table, column = rng.choice(
        [("events", c) for c in ("number", "entry", "state", "time", "facts", "before", "hash")]
        + [("entries", c) for c in ("number", "id", "line", "state", "part")]
        + [("examples", c) for c in ("entry", "beside", "salt", "ids")]
    )
    value = rng.choice([None, -1, 10**12, "", "x", b"", b"\x01\x02\x03", "{}", "[]", "erased", "asked", '{"part": 3}'])
    verb = rng.choice(["update", "update", "delete", "schema"])
    try:
        with connection:
            match verb:
                case "update":
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, rng.randrange(1, 5)))
                case "delete":
                    connection.execute(f"DELETE FROM {table} WHERE rowid >= ?", (rng.randrange(1, 5),))
                case "schema":
                    connection.execute("CREATE VIEW v AS SELECT load_extension('x')")
    except sqlite3.Error:
        pass
    connection.close()
    return table, column, value, verb


def add(rng, folder):
    place = rng.choice([folder, folder / "updates", folder / "releases", folder / "prepared"])
    path = place / rng.choice(ODD)
    if not path.exists():
        path.mkdir() if rng.random() < 0.5 else path.write_bytes(rng.randbytes(20))
    return path


MUTATIONS = (flip, cut, remove, exchange, odd_file, edit_json, edit_ledger, add)
VERBS = (
    ("ledger", "RUN", "--verify", "--residue", "--json"),
    ("verify", "RUN/releases/finetune-1", "--run", "RUN"),
    ("forget", "RUN", "--request", "ids:5", "--trivial"),
    ("forget", "RUN", "--method", "finetune", "--request", "ids:50", "--id", "A"),
    ("prepare", "RUN"),
    ("report", "RUN"),
    ("purge", "RUN"),
)


class Hangs(Exception):
    pass


def hung(*_):
    raise Hangs


def test_a_mutated_folder_is_refused_in_a_sentence_or_does_no_harm(answered, tmp_path, capsys):
    signal.signal(signal.SIGALRM, hung)
    ends = {}
    for number in range(COUNT):
        rng = random.Random(number)
        folder = tmp_path / "run"
        shutil.copytree(answered, folder)
        mutation = MUTATIONS[number % len(MUTATIONS)]
        what = (number, mutation.__name__, mutation(rng, folder))
        for verb in rng.sample(VERBS, 3) if COUNT < 500 else VERBS:
            words = [word.replace("RUN", str(folder)) for word in verb]
            capsys.readouterr()
            signal.alarm(60)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("default")
                    certunl(*words)
                end = 0
            except SystemExit as stop:
                end = stop.code
            except (Exception, Hangs) as error:  # a traceback for a user
                pytest.fail(f"{what}, {verb[0]}: {type(error).__name__}: {error}")
            finally:
                signal.alarm(0)
            out, err = capsys.readouterr()
            assert end in (0, 1, 2) and "Traceback" not in err, (what, verb)
            assert "root:" not in out + err, (what, verb)
            said = [line for line in err.splitlines() if line.startswith("certunl: ") and "warning" not in line]
            assert len(said) == (end == 2), (what, verb, err)
            ends[end] = ends.get(end, 0) + 1
        shutil.rmtree(folder)
    assert ends.get(0) and ends.get(2), ends  # it finds something, and harmless changes stay harmless
