"""What does this machine do with the programs, beside torch on the same card? One command for a GPU or a TPU.

python -m benchmarks accelerator [--save] [--small] [--seconds 480]

It needs JAX, Flax, Optax and certunl, no network and no data set, and torch for the peers. It checks float32 against
float64 first, then times rows, LiSSA, Hessian products, shadow models, and the story of a network from training to
forgetting. A stage begins only while there is time left. On a CPU the sizes are those of the other scripts.
"""

import argparse
import contextlib
import io
import time
from collections.abc import Callable, Sequence
from typing import Any

import hessian_free
import jax
import jax.numpy as jnp
import lissa
import numpy as np
import products
import shadows
from harness import made, tell, torch_found

import certunl as cu
from certunl.base import vector
from certunl.timing import Stopwatch

LONG = cu.Recipe(learning_rate=0.05, decay=0.995, epochs=10, batch_size=64)
ROWS: dict[str, Any] = {"hidden": "cnn", "recipe": LONG, "examples": 1000, "units": 1000, "sample": 4, "chunk": 250}
CHAINS: dict[str, Any] = lissa.FULL | {"repeats": 64, "peer_depth": 20}
MODELS: dict[str, Any] = shadows.FULL | {"alone": 2}
STORY: dict[str, Any] = {"model": "resnet18", "examples": 2048, "batch_size": 128, "epochs": 2, "forgotten": 32}
LITTLE: dict[str, Any] = {"model": "cnn", "examples": 48, "batch_size": 16, "epochs": 1, "forgotten": 4}


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save", action="store_true", help="append the lines to benchmarks/results/accelerator.jsonl")
    parser.add_argument("--small", action="store_true", help="tiny settings, which measure nothing")
    parser.add_argument("--seconds", type=float, default=480.0, help="no stage begins later (default: 480)")
    words = parser.parse_args(argv)
    begin, lines = time.monotonic(), []
    for name, work in stages(words.small, jax.default_backend() == "cpu").items():
        spent = time.monotonic() - begin
        facts = {"left_out": f"{spent:.0f} s were over"} if spent > words.seconds else tried(work)
        line = {"stage": name, "settings": {}, **facts, "question": "accelerator", **made(torch_found())}
        line["settings"]["device_kind"] = line["device"]["kind"]
        lines.append(tell(line, save=words.save))
    return lines


def tried(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The facts of a stage, or why it failed: the stages after it must still run."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the other scripts print lines of their own
            return work()
    except Exception as error:  # out of memory, a kernel that the card lacks, a peer that disagrees
        return {"failed": f"{type(error).__name__}: {str(error)[:400]}"}


def stages(small: bool, on_cpu: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """Each stage by name."""
    quiet: dict[str, Any] = {"save": False, "small": small}
    rows, chains, models = ROWS, CHAINS, MODELS
    if on_cpu:
        rows, chains, models = hessian_free.FULL[2], lissa.FULL, shadows.FULL
    if small:
        rows, chains, models = hessian_free.SMALL[1], lissa.SMALL, shadows.SMALL
    sizes = (
        products.SMALL if small else products.FULL if on_cpu else {n: (s, 128) for n, (s, _) in products.FULL.items()}
    )
    story = LITTLE if small else STORY | ({"model": "cnn", "examples": 512} if on_cpu else {})
    return {
        "float32 against float64": lambda: precision(16 if small else 128),
        "rows": lambda: hessian_free.ask(**rows, **quiet),
        "lissa": lambda: lissa.ask(**chains, **quiet),
        "shadow models": lambda: shadows.ask(**models, **quiet),
        **{f"products, {n}": lambda n=n, s=s: products.ask(n, *s, **quiet) for n, s in sizes.items()},
        "story": lambda: told(**story),
    }


def precision(examples: int) -> dict[str, Any]:
    """Relative differences of float32 to float64 on this machine, from one start along one schedule."""
    with jax.enable_x64(False):
        first = trained("cnn", examples, 16, 1)
        start, schedule = jax.device_get((first.start, first.schedule))
    results: list[dict[str, np.ndarray]] = []
    for dtype in (np.float32, np.float64):
        with jax.enable_x64(dtype is np.float64):
            wide = jax.tree.map(lambda a, d=dtype: a.astype(d) if a.dtype == np.float32 else a, (start, schedule))
            run = cu.fit(problem("cnn", examples, dtype), first.recipe, *wide)
            request, key = np.arange(4), jax.random.key(1)
            methods = {"row": cu.HessianFree(), "retraining": cu.Retrain()}
            methods["newton"] = cu.Newton(damping=1.0, operator="ggn")
            after = {name: vector(method.forget(run, None, request, key).params) for name, method in methods.items()}
            # of the difference that forgetting makes, which is what counts
            base = vector(run.params)
            results.append({"training": base} | {name: x - base for name, x in after.items()})
    single, double = results
    gaps = {name: float(np.linalg.norm(single[name] - x) / np.linalg.norm(x)) for name, x in double.items()}
    return {"settings": {"model": "cnn", "examples": examples, "seed": 0}, "relative_difference": gaps}


def problem(model: str, examples: int, dtype: Any = np.float32) -> cu.Problem:
    """A network of the library and seeded noise around class means."""
    generator = np.random.default_rng(0)
    y = generator.integers(10, size=examples).astype(np.int32)
    shape = products.IMAGES[model]
    x = generator.normal(size=(10, *shape))[y] * 0.5 + generator.normal(size=(examples, *shape))
    network = cu.registry.build("models", model, dtype=jnp.dtype(dtype))
    return cu.classification(network, cu.Dataset(x.astype(np.float32).astype(dtype), y))


def trained(model: str, examples: int, batch_size: int, epochs: int) -> cu.Run:
    recipe = cu.Recipe(learning_rate=0.02, epochs=epochs, batch_size=batch_size, weight_decay=1e-3)
    return cu.train(problem(model, examples), recipe, jax.random.key(0))


def told(*, model: str, examples: int, batch_size: int, epochs: int, forgotten: int) -> dict[str, Any]:
    """Seconds of the first and the second call of training, retraining, one request's vector, and a Newton step."""
    request, key = np.arange(forgotten), jax.random.key(1)
    runs: list[cu.Run] = []

    def training() -> Any:
        runs.append(trained(model, examples, batch_size, epochs))
        return runs[-1].params

    methods = {
        "retraining": cu.Retrain(),
        "vector": cu.HessianFree(),
        "newton, cg": cu.Newton(damping=1.0, operator="ggn", solver=cu.CG(max_steps=20)),
        "newton, lissa": cu.Newton(damping=1.0, operator="ggn", solver=cu.LiSSA(depth=50, repeats=2, batch_size=32)),
    }
    works: dict[str, Callable[[], Any]] = {
        "training": training,
        **{name: lambda m=m: m.forget(runs[0], None, request, key).params for name, m in methods.items()},
    }
    seconds = {name: [timed(work), timed(work)] for name, work in works.items()}
    settings = {"model": model, "parameters": products.count(runs[0].params), "examples": examples, "seed": 0}
    settings |= {"batch_size": batch_size, "epochs": epochs, "forgotten": forgotten}
    return {"settings": settings, "first_and_second_call": seconds}


def timed(work: Callable[[], Any]) -> dict[str, float]:
    with Stopwatch() as watch:
        jax.block_until_ready(work())
    return {"seconds": watch.seconds, "compile_seconds": watch.compile_seconds, "compilations": watch.compilations}


if __name__ == "__main__":
    main()
