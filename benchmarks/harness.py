"""Ours and its peers, timed in turn in one process, as one JSON line per question."""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import util
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from machine import commit, device, versions

from certunl.timing import Stopwatch

HERE = Path(__file__).resolve().parent
SIDE = 2048  # of the matrices whose product measures the rate of the machine


@dataclass(frozen=True)
class Part:
    """A peer that is too slow for a whole run. Its seconds are rest + factor · (run − rest); `rest` does not grow."""

    run: Callable[[], Any]
    factor: float
    rest: Callable[[], Any]


def arguments(
    doc: str | None, argv: Sequence[str] | None, more: Mapping[str, Mapping[str, Any]] | None = None
) -> argparse.Namespace:
    """`--save` and `--small`, the command line of every question, and `more` options of its own."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--save", action="store_true", help="append the lines to benchmarks/results/")
    parser.add_argument("--small", action="store_true", help="tiny settings, which measure nothing")
    for option, settings in (more or {}).items():
        parser.add_argument(option, **settings)
    return parser.parse_args(argv)


def torch_found() -> bool:
    return util.find_spec("torch") is not None


def measure(
    *,
    question: str,
    settings: Mapping[str, Any],
    ours: Callable[[], Any],
    peers: Mapping[str, Callable[[], Any] | Part],
    check: Callable[[Any], Mapping[str, Any]] | None = None,
    flops: float | None = None,
    runs: int = 5,
    save: bool = False,
) -> dict[str, Any]:
    """The printed line. Each callable runs twice to warm up, so that ours compiles, and then `runs` times in turn.

    `check` gets the first result of ours before anything is timed. It raises an error or returns facts for the
    settings. Seconds are wall time after the warm-up, so a second compilation would show in them. `flops` are those of
    one call of `ours`. Their rate is also printed as a fraction of that of a float32 matrix product of side 2048.
    """
    contenders: dict[str, Callable[[], Any] | Part] = {"ours": ours, **peers}
    if flops:
        square = jax.random.normal(jax.random.key(0), (SIDE, SIDE), jnp.float32)
        product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
        contenders["matmul"] = lambda: product(square)
    result, _, compile_seconds = _run(ours)
    facts = check(result) if check else {}
    del result
    for contender in (ours, *list(contenders.values())[1:] * 2):
        _run(contender)
    rounds = [{name: _run(contender)[1] for name, contender in contenders.items()} for _ in range(runs)]
    seconds = {name: _spread([one[name] for one in rounds]) for name in contenders}
    own = seconds["ours"] | {"compile_seconds": compile_seconds}
    if flops:
        rate, top = flops / own["median"] / 1e9, 2 * SIDE**3 / seconds["matmul"]["median"] / 1e9
        own |= {"gflops": rate, "matmul_gflops": top, "matmul_fraction": rate / top}
    torch_needed = any(name.startswith("torch") for name in peers)
    line: dict[str, Any] = {
        "question": question,
        "settings": {**settings, **facts, "runs": runs, "flops": flops},
        **made(torch_needed),
        "ours": own,
        "peers": {name: seconds[name] | {"ratio": seconds[name]["median"] / own["median"]} for name in peers},
    }
    if not peers and not torch_found():
        line["peers_omitted"] = "torch is not installed"
    return tell(line, save=save)


def tell(line: dict[str, Any], *, save: bool) -> dict[str, Any]:
    """Prints a line of JSON, and appends it to the results of its question if `save`."""
    text = json.dumps(line)
    print(text, flush=True)
    if save:
        path = HERE / "results" / f"{line['question']}.jsonl"
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write(text + "\n")
    return line


def made(with_torch: bool) -> dict[str, Any]:
    """The commit, date, versions and device of a line."""
    return {
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(with_torch),
        "device": device(with_torch),
    }


def _run(work: Callable[[], Any] | Part) -> tuple[Any, float, float]:
    """(result, wall seconds, seconds of these that JAX spent compiling)."""
    if isinstance(work, Part):
        rest, (result, run, compiling) = _run(work.rest)[1], _run(work.run)
        return result, rest + work.factor * (run - rest), compiling
    with Stopwatch() as watch:
        result = jax.block_until_ready(work())
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.synchronize()
    return result, watch.seconds + watch.compile_seconds, watch.compile_seconds


def _spread(seconds: list[float]) -> dict[str, Any]:
    return {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds), "seconds": seconds}
