"""What does one request to `certunl serve` cost, and does it cost more after thousands of others?

python benchmarks/serve.py [--save] [--small] [--only digits | mnist]
"""

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import arguments, made, tell

DIGITS = ("--dataset", "digits", "--model", "linear", "--set", "epochs=5", "radius=6", "learning_rate=0.1")
MNIST = ("--dataset", "mnist", "--model", "linear", "--train-size", "11000", "--test-size", "1000")
MNIST += ("--set", "epochs=3", "batch_size=200", "learning_rate=0.05", "radius=10")


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    words = list(sys.argv[1:] if argv is None else argv)
    only = words.pop(words.index("--only") + 1) if "--only" in words else None
    given = arguments(__doc__, [word for word in words if word != "--only"])
    sizes = {"digits": 20, "mnist": 20} if given.small else {"digits": 1000, "mnist": 10_000}
    lines = []
    for name, training in (("digits", DIGITS), ("mnist", MNIST)):
        if only in (None, name):
            lines.append(served(name, training, sizes[name], save=given.save))
    return lines


def certunl(*words: Any) -> None:
    code = "from certunl import cli; import sys; cli.main(sys.argv[1:])"
    subprocess.run([sys.executable, "-c", code, *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def served(name: str, training: Sequence[str], count: int, *, save: bool) -> dict[str, Any]:
    """`count` single deletions, each sent when the one before is answered."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "run"
        certunl("train", folder, *training)
        certunl("prepare", folder)
        before = size(folder)
        seconds, memory = asked(folder, count)
        line = {
            "question": "serve",
            "settings": {"data": name, "requests": count, "training": list(training), "method": "hessian_free"},
            **made(False),
            "requests_per_second": count / sum(seconds),
            "milliseconds": {
                "median": 1000 * statistics.median(seconds),
                "p99": 1000 * statistics.quantiles(seconds, n=100)[98],
                "max": 1000 * max(seconds),
            },
            **aging(seconds),
            "memory_bytes": memory,
            "folder_bytes": {
                "before": before,
                "after": size(folder),
                "ledger": (folder / "ledger.sqlite").stat().st_size,
            },
        }
        content = (folder / "ledger.sqlite").stat().st_size // count
        bare = transactions(Path(parent) / "bare.sqlite", content)
        line["peers"] = {"a bare SQLite transaction of the same size": {"milliseconds": 1000 * bare, "bytes": content}}
        line["ratio"] = statistics.median(seconds) / bare
    return tell(json.loads(json.dumps(line)), save=save)


def aging(seconds: list[float]) -> dict[str, float]:
    """The mean time of the last tenth (at most a thousand) against that of the first."""
    part = min(1000, len(seconds) // 4)
    return {"last_to_first": statistics.mean(seconds[-part:]) / statistics.mean(seconds[:part]), "part": part}


def asked(folder: Path, count: int, first: int = 0) -> tuple[list[float], dict[str, int]]:
    """(the seconds of each request after one that warms up, the most memory after the first tenth and at the end)."""
    code = "from certunl import cli; import sys; cli.main(sys.argv[1:])"
    call = [sys.executable, "-c", code, "serve", str(folder)]
    pipe = subprocess.PIPE
    seconds, memory = [], {}
    with subprocess.Popen(call, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        assert process.stdin is not None and process.stdout is not None
        for number in range(count + 1):
            wanted = {"id": f"ORDER-{first + number}", "ids": [first + number]}
            start = time.perf_counter()
            process.stdin.write(json.dumps(wanted) + "\n")
            answer = json.loads(process.stdout.readline())
            assert answer["state"] == "erased", answer
            if number:  # the first one compiles
                seconds.append(time.perf_counter() - start)
            if number == count // 10:
                memory["first_tenth"] = most_memory(process.pid)
        memory["end"] = most_memory(process.pid)
        process.stdin.close()
    return seconds, memory


def most_memory(pid: int) -> int:
    """The most memory that a process had, in bytes; 0 where the system does not say."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def transactions(place: Path, content: int, count: int = 200) -> float:
    """The median seconds of a SQLite transaction that inserts `content` bytes, as durable as those of the ledger."""
    connection = sqlite3.connect(place, isolation_level=None)
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("CREATE TABLE t (content BLOB)")
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        connection.execute("INSERT INTO t VALUES (?)", (os.urandom(content),))
        seconds.append(time.perf_counter() - start)
    connection.close()
    return statistics.median(seconds)


def size_of_ledger(folder: Path) -> int:
    return (folder / "ledger.sqlite").stat().st_size


def size(folder: Path) -> int:
    """The bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
