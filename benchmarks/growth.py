"""How do the seconds grow with examples n, parameters d, steps T and devices?

python benchmarks/growth.py [--save] [--small]
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import arguments, made, tell
from problems import classifier, images
from store import timed

import certunl as cu
from certunl.base import width
from certunl.training.drawing import draw

Point = Mapping[str, int]
"""The sizes of one run: examples, width of the hidden layer, epochs and batch_size."""

FULL: dict[str, Any] = {
    "factors": (0.25, 0.5, 1, 2, 4),
    "runs": 7,
    "devices": (1, 2, 4, 8),
    "rows": {"examples": 512, "width": 32, "epochs": 4, "batch_size": 64},
    "newton": {"examples": 16_384, "width": 32, "epochs": 4, "batch_size": 128},
    "retraining": {"examples": 4096, "width": 64, "epochs": 16, "batch_size": 128},
}
TINY = {"examples": 16, "width": 2, "epochs": 2, "batch_size": 8}
SMALL = FULL | {"factors": (1, 2), "runs": 1, "devices": (1, 2), "rows": TINY, "newton": TINY, "retraining": TINY}
EXPECTED = {
    "rows": {"n": 1, "n, fixed epochs": 2, "d": 1, "T": 1, "devices": -1},
    "newton": {"n": 1, "d": 1, "T": 0, "devices": -1},
    "retraining": {"n": 0, "n, fixed epochs": 1, "d": 1, "T": 1},
}
"""The exponents that the operations give. A step has b·d operations for each row, and for retraining one such pass. A
Newton step has n·d for each product. Each device is expected to do its share."""
METHODS = {
    "rows": "HessianFree().prepare, all examples",
    "newton": "Newton(operator='ggn', damping=1).forget, CG with 5 products",
    "retraining": "Retrain().forget",
}
PRODUCTS, FORGOTTEN = 5, 4
"""Few products, so that no step ends before the last because its residual is 0 in float32."""


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    if argv is None and sys.argv[1:2] == ["--devices"]:  # the process that `on_devices` starts
        print(json.dumps(device_seconds(SMALL if "--small" in sys.argv else FULL)))
        return []
    words = arguments(__doc__, argv)
    sizes = SMALL if words.small else FULL
    lines = []
    for work, exponents in EXPECTED.items():
        for varied in exponents:
            if varied != "devices":
                lines.append(tell(scan(work, varied, sizes), save=words.save))
    return lines + [tell(line, save=words.save) for line in on_devices(sizes, small=words.small)]


def power(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float | None]:
    """(p, its standard error) in seconds ≈ c · size^p, by least squares of the logarithms.

    Two points leave no error, which is then None.
    """
    x, y = np.log(sizes), np.log(seconds)
    if len(x) == 2:
        return float(np.polyfit(x, y, 1)[0]), None
    coefficients, covariance = np.polyfit(x, y, 1, cov=True)
    return float(coefficients[0]), float(np.sqrt(covariance[0, 0]))


def points(base: Point, varied: str, factors: Sequence[float]) -> list[Point]:
    """The sizes of each run of a scan. The number of epochs falls as n grows, so that T stays."""
    changes: dict[str, Callable[[float], dict[str, float]]] = {
        "n": lambda f: {"examples": base["examples"] * f, "epochs": base["epochs"] / f},
        # as many steps at the last point as where T is fixed
        "n, fixed epochs": lambda f: {"examples": base["examples"] * f, "epochs": base["epochs"] / factors[-1]},
        "d": lambda f: {"width": base["width"] * f},
        "T": lambda f: {"epochs": base["epochs"] * f},
    }
    return [{**base, **{name: round(value) for name, value in changes[varied](f).items()}} for f in factors]


@cache
def noise(examples: int) -> cu.Dataset:
    """On the device, so that no call copies it there."""
    return jax.tree.map(jnp.asarray, images(examples, real=False)[0])


@cache
def network(width: int) -> cu.Problem:
    """784-width-10 without its data, once for all scans."""
    return replace(classifier((width,), noise(1)), data=None)


@cache
def prepared(examples: int, width: int, epochs: int, batch_size: int) -> cu.Run:
    """A run of these sizes on seeded noise, once for all scans, so that its programs are compiled once.

    It is not trained, since only the arithmetic counts. Its parameters are those of the start.
    """
    recipe = cu.Recipe(learning_rate=0.01, epochs=epochs, batch_size=batch_size)
    problem = replace(network(width), data=noise(examples))
    start = problem.init(jax.random.key(0))
    schedule = draw(jax.random.key(1), recipe, examples)
    return cu.Run(problem, recipe, start, schedule, start, jnp.ones(examples, bool))


def measured(work: str, run: cu.Run) -> Any:
    """The result of one call of the public method.

    Raises: RuntimeError if a Newton step took another number of products, since then the sizes do not compare.
    """
    if work == "rows":
        return cu.HessianFree().prepare(run).rows
    request = np.arange(FORGOTTEN)
    if work == "retraining":
        return cu.Retrain().forget(run, None, request, jax.random.key(1)).params
    solver = cu.CG(tol=1e-30, max_steps=PRODUCTS)
    update = cu.Newton(operator="ggn", damping=1.0, solver=solver).forget(run, None, request, jax.random.key(1))
    if update.cost["solver_steps"] != PRODUCTS:
        raise RuntimeError(f"{update.cost['solver_steps']:.0f} products, expected {PRODUCTS}")
    return update.params


def rounds(calls: Sequence[Callable[[], Any]], runs: int) -> list[list[float]]:
    """The wall seconds of each call, in turn with the others, after one round that compiles."""
    for call in calls:
        timed(call)
    return np.transpose([[timed(call) for call in calls] for _ in range(runs)]).tolist()


def scan(work: str, varied: str, sizes: dict[str, Any]) -> dict[str, Any]:
    """The line of one kind of work for one varied size."""
    chosen = points(sizes[work], varied, sizes["factors"])
    runs = [prepared(**point) for point in chosen]
    seconds = rounds([partial(measured, work, run) for run in runs], sizes["runs"])
    values = [{"d": width(run.start), "T": len(run.schedule)}.get(varied, len(run.problem.data)) for run in runs]
    return line(work, varied, values, seconds, chosen)


def on_devices(sizes: dict[str, Any], *, small: bool) -> list[dict[str, Any]]:
    """The lines of the number of devices, from a process with as many pretended devices as a CPU needs."""
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(max(sizes["devices"]))}
    command = [sys.executable, __file__, "--devices", *(["--small"] if small else [])]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return [
        line(work, "devices", facts["devices"], seconds, [sizes[work]], facts["cores"])
        for work, seconds in facts["seconds"].items()
    ]


def device_seconds(sizes: dict[str, Any]) -> dict[str, Any]:
    """The seconds of each kind of work on the first devices of this process, and how many have cores of their own."""
    devices = jax.devices()
    counts = [count for count in sizes["devices"] if count <= len(devices)]

    def spread(work: str, run: cu.Run, count: int) -> Any:
        with cu.use_mesh(devices[:count]):
            return measured(work, run)

    seconds = {}
    for work, exponents in EXPECTED.items():
        if "devices" in exponents:
            run = prepared(**sizes[work])
            seconds[work] = rounds([partial(spread, work, run, count) for count in counts], sizes["runs"])
    cores = (os.cpu_count() or 1) if jax.default_backend() == "cpu" else len(devices)
    return {"devices": counts, "seconds": seconds, "cores": cores}


def line(
    work: str, varied: str, values: list[int], seconds: list[list[float]], chosen: Sequence[Point], most: int = 0
) -> dict[str, Any]:
    """The line with the exponent over all values, or over those up to `most` if at least two are."""
    medians = [statistics.median(one) for one in seconds]
    fitted = [value for value in values if value <= most] if most else values
    count = max(2, len(fitted))
    exponent, error = power(values[:count], medians[:count])
    settings = {"work": work, "method": METHODS[work], "varied": varied, "values": values, "fitted": values[:count]}
    settings |= {"points": list(chosen), "expected": EXPECTED[work][varied], "runs": len(seconds[0]), "seed": 0}
    facts = {"medians": medians, "seconds": seconds, "exponent": exponent, "standard_error": error}
    return {"question": "growth", "settings": settings, **made(False), **facts}


if __name__ == "__main__":
    main()
