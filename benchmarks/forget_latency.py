"""How long does `certunl forget` take from the command line, with 10 and with 1,000 requests before it?

python benchmarks/forget_latency.py [--save] [--small]
"""

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import arguments, made, tell
from serve import DIGITS, asked, certunl, transactions


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    counts, repeats = ((2, 4), 1) if given.small else ((10, 1000), 7)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "run"
        certunl("train", folder, *DIGITS)
        certunl("prepare", folder)
        seconds: dict[str, list[float]] = {"starting": [], **{str(count): [] for count in counts}}
        done = 0
        for count in counts:
            asked(folder, count - done - 1, first=done)
            done = count
            for _ in range(repeats):
                seconds[str(count)].append(timed("forget", folder, "--request", f"ids:{done}"))
                done += 1
        seconds["starting"] = [timed("--version") for _ in range(repeats)]
        content = (folder / "ledger.sqlite").stat().st_size // done
        bare = transactions(Path(parent) / "bare.sqlite", content)
    medians = {name: statistics.median(several) for name, several in seconds.items()}
    line = {
        "question": "forget_latency",
        "settings": {"data": "digits", "method": "hessian_free", "repeats": repeats, "requests_before": list(counts)},
        **made(False),
        "seconds": medians,
        "many_to_few": medians[str(counts[1])] / medians[str(counts[0])],
        "peers": {"a bare SQLite transaction of the same size": {"milliseconds": 1000 * bare, "bytes": content}},
        "ratio": medians[str(counts[0])] / bare,
    }
    return [tell(json.loads(json.dumps(line)), save=given.save)]


def timed(*words: Any) -> float:
    """The wall seconds of a verb in a process of its own."""
    start = time.perf_counter()
    certunl(*words)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
