"""How does the time of rows grow with the units, how much do rows on disk cost, and how long does a deletion take?

python benchmarks/store.py [--save] [--small]
"""

import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from harness import arguments, made, tell
from problems import classifier, images

import certunl as cu

SIZES = {"examples": 10_000, "hidden": (32, 32), "epochs": 1, "batch_size": 128, "grow": (1250, 2500, 5000)}
SMALL = {"examples": 24, "hidden": (4,), "epochs": 1, "batch_size": 8, "grow": (4, 8)}
DELETED = 50


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    if argv is None and len(sys.argv) == 3 and sys.argv[1] == "--fill":  # the process that `disk` kills
        fill(Path(sys.argv[2]), SIZES)
        return []
    given = arguments(__doc__, argv)
    sizes = SMALL if given.small else SIZES
    lines = [growth(sizes, given.small), disk(sizes, given.small), deletion(given.small)]
    return [tell(line | made(False), save=given.save) for line in lines]


def trained(examples: int, sizes: dict[str, Any], small: bool = False) -> cu.Run:
    data, _ = images(examples, real=not small)
    recipe = cu.Recipe(learning_rate=0.05, epochs=sizes["epochs"], batch_size=sizes["batch_size"])
    return cu.train(classifier(sizes["hidden"], data), recipe, jax.random.key(0))


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - start


def growth(sizes: dict[str, Any], small: bool) -> dict[str, Any]:
    """The seconds for more and more units of one run, in blocks of one size, without compilation."""
    run = trained(sizes["examples"], sizes, small)
    chunk = 2 if small else 29
    cu.HessianFree(units=range(2 * chunk), gather=cu.Forward(chunk)).prepare(run)
    seconds = {
        m: timed(lambda m=m: cu.HessianFree(units=range(m), gather=cu.Forward(chunk)).prepare(run).rows)
        for m in sizes["grow"]
    }
    settings = {"parameters": count(run), "steps": len(run.schedule), "chunk": chunk, "units": list(sizes["grow"])}
    each = [1e3 * s / m for m, s in seconds.items()]
    return {
        "question": "store",
        "settings": settings | {"what": "rows of m of n examples, in memory"},
        "seconds": list(seconds.values()),
        "milliseconds_per_unit": each,
    }


def count(run: cu.Run) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(run.start))


def fill(place: Path, sizes: dict[str, Any], small: bool = False) -> cu.Store:
    return cu.HessianFree().store(trained(sizes["examples"], sizes, small), place)


def disk(sizes: dict[str, Any], small: bool) -> dict[str, Any]:
    """The cost of rows on disk and of deletions. The writing process is killed on the way, and another continues."""
    folder = Path(tempfile.mkdtemp())
    facts: dict[str, Any] = {}
    try:
        if not small:
            begun = subprocess.Popen([sys.executable, __file__, "--fill", str(folder / "rows")])
            while len(list((folder / "rows").glob("c/*/0"))) < 20 and begun.poll() is None:
                time.sleep(0.2)
            os.kill(begun.pid, signal.SIGKILL)
            begun.wait()
            facts["chunks_when_killed"] = len(list((folder / "rows").glob("c/*/0")))
        start = time.perf_counter()
        store = fill(folder / "rows", sizes, small)
        facts["seconds_to_go_on"] = time.perf_counter() - start
        whole = time.perf_counter()
        fill(folder / "whole", sizes, small).close()
        facts["seconds_whole"] = time.perf_counter() - whole
        facts["gigabytes"] = store.nbytes / 1e9
        facts["peak_memory_gigabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        facts["units"] = len(store)
        generator, found = np.random.default_rng(0), []
        asked = 2 if small else DELETED
        for _ in range(7):
            ids = generator.choice(len(store), asked, replace=False)
            found.append(timed(lambda ids=ids: store.correction(ids)))
        facts["milliseconds_to_read"] = 1e3 * statistics.median(found)
        facts["milliseconds_to_erase"] = 1e3 * timed(lambda: store.without(ids) and ())
    finally:
        shutil.rmtree(folder)
    settings = {name: sizes[name] for name in ("examples", "hidden", "epochs", "batch_size")}
    return {"question": "store", "settings": settings | {"what": "rows on disk", "deleted": asked}, **facts}


def forgotten(method: cu.HessianFree, run: cu.Run, prepared: Any, ids: np.ndarray) -> Any:
    return method.forget(run, prepared, ids, jax.random.key(0)).params


def deletion(small: bool) -> dict[str, Any]:
    """The seconds of forgetting 50 examples of softmax regression, with 1,000 and 4,000 rows in memory and on disk."""
    sizes = {"hidden": (), "epochs": 1, "batch_size": 32}
    found: dict[str, list[float]] = {}
    for examples in (8, 12) if small else (1000, 4000):
        run, method = trained(examples, sizes, small), cu.HessianFree()
        folder = Path(tempfile.mkdtemp())
        try:
            ways = {"memory": method.prepare(run), "disk": method.store(run, folder / "rows")}
            ids = np.arange(0, examples, examples // min(DELETED, examples // 2))[: min(DELETED, examples // 2)]
            for name, prepared in ways.items():
                seconds = [timed(partial(forgotten, method, run, prepared, ids)) for _ in range(21)]
                found[f"{name}, {examples} units"] = [1e3 * s for s in seconds[1:]]
        finally:
            shutil.rmtree(folder)
    return {
        "question": "store",
        "settings": {"what": "one deletion, checks and all", "parameters": 7850, "deleted": 4 if small else DELETED},
        "milliseconds": {name: statistics.median(ms) for name, ms in found.items()},
    }


if __name__ == "__main__":
    main()
