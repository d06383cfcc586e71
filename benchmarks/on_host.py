"""What does it cost to keep the inputs on the host, and may they be larger than the memory?

python benchmarks/on_host.py [--save] [--small]
"""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from harness import arguments, made, measure, tell

import certunl as cu
from certunl.base import vector

LIMIT = 2**30
"""Bytes of memory of its own that the second question gives to a process; its file of inputs is three times as long."""


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    examples = 200 if given.small else 20_000
    lines = [ask(work, examples, save=given.save) for work in ("train", "newton")]
    lines.append(larger_than_memory(3 * LIMIT // 2**8 if given.small else 3 * LIMIT, save=given.save))
    return lines


def runs(examples: int) -> tuple[cu.Run, cu.Run]:
    """(a run with the inputs on the device, the same with the inputs on the host)."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(examples, 784)).astype(np.float32), rng.integers(0, 10, examples)
    problem = cu.classification(cu.models.MLP(hidden=(128,), classes=10), cu.Dataset(x, y))
    run = cu.train(problem, cu.Recipe(epochs=1, batch_size=100), jax.random.key(0))
    away = replace(run, problem=replace(problem, data=replace(problem.data, x=cu.OnHost(x))))
    return run, away


def ask(work: str, examples: int, *, save: bool) -> dict[str, Any]:
    """Training for one epoch, or one Newton update, with inputs on the host and on the device."""
    near, far = runs(examples)
    recipe = cu.Recipe(epochs=1, batch_size=100)
    newton = cu.Newton(operator="ggn", damping=1.0, solver=cu.CG(tol=1e-2))

    def done(run: cu.Run) -> Callable[[], Any]:
        if work == "train":
            return lambda: cu.train(run.problem, recipe, jax.random.key(1)).params
        return lambda: newton.forget(run, None, np.arange(100), jax.random.key(1)).params

    gap = float(np.abs(vector(done(near)()) - vector(done(far)())).max())
    return measure(
        question="on_host",
        settings={"work": work, "examples": examples, "features": 784, "largest_difference": gap},
        ours=done(far),
        peers={"inputs on the device": done(near)},
        save=save,
    )


STORY = """
import resource, sys, time
import jax, numpy as np, certunl as cu
x = np.load(sys.argv[1], mmap_mode="r")
y = np.arange(len(x)) % 10
jax.numpy.ones(3).block_until_ready()
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[2]),) * 2)
inputs = cu.OnHost(x) if sys.argv[3] == "host" else x
problem = cu.classification(cu.models.Linear(classes=10), cu.Dataset(inputs, y))
start = time.perf_counter()
run = cu.train(problem, cu.Recipe(epochs=1, batch_size=200, learning_rate=0.01), jax.random.key(0))
trained = time.perf_counter()
update = cu.HessianFree().forget(run, None, [5, 6], jax.random.key(1))
print(trained - start, time.perf_counter() - trained)
"""


def larger_than_memory(size: int, *, save: bool) -> dict[str, Any]:
    """Whether a file of `size` bytes serves as inputs of a process that may have a third of that as memory of its own.

    The limit is RLIMIT_DATA, which counts what a process allocates and not the pages of a file that it maps.
    """
    with tempfile.TemporaryDirectory() as folder:
        place, features = Path(folder) / "x.npy", 3072
        x = np.lib.format.open_memmap(place, "w+", np.float32, (size // (4 * features), features))
        rng = np.random.default_rng(0)
        for first in range(0, len(x), 4096):
            x[first : first + 4096] = rng.normal(size=x[first : first + 4096].shape)
        del x
        ends = {}
        for where in ("host", "device"):
            words = [sys.executable, "-c", STORY, str(place), str(LIMIT), where]
            ends[where] = subprocess.run(words, capture_output=True, text=True)
    seconds = [float(word) for word in ends["host"].stdout.split()]
    line = {
        "question": "on_host",
        "settings": {"work": "larger than memory", "bytes": size, "limit": LIMIT, "features": 3072},
        **made(False),
        "trained_in": seconds[0] if seconds else None,
        "forgot_in": seconds[1] if seconds else None,
        "exit_status": {where: end.returncode for where, end in ends.items()},
        "last_words": {where: end.stderr.strip().splitlines()[-1:] for where, end in ends.items()},
        "most_memory_of_a_child": 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
    }
    return tell(json.loads(json.dumps(line)), save=save)


if __name__ == "__main__":
    main()
