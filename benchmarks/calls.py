"""How long are the first and the second call of each verb, and how many programs does the first compile?

python benchmarks/calls.py [--save] [--small] [--before]
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
from harness import arguments, made, tell
from problems import images

import certunl as cu
from certunl.timing import Stopwatch

CNN = {"data": "mnist", "examples": 1000, "epochs": 1, "batch_size": 64, "units": 32}
FULL = {
    "linear": {"data": "wine", "examples": 142, "epochs": 20, "batch_size": 32, "units": None},
    "mlp": {"data": "mnist", "examples": 1000, "epochs": 5, "batch_size": 64, "units": 100},
    "cnn": CNN,
    "allcnn": {"data": "cifar10", "examples": 64, "epochs": 1, "batch_size": 16, "units": 2, "width": 32},
}
SMALL = {"linear": FULL["linear"] | {"epochs": 1, "units": 4}}
COMPARED = ("linear",)
"""The models of which `compare` and `plan` are called."""
OLDER = "--before"
"""What marks the lines of an older commit, by this script in a worktree of it."""
FORGOTTEN = 10


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    if argv is None and sys.argv[1:2] == ["--one"]:  # a process of `ask`, which nothing has warmed
        name, small = sys.argv[2], "--small" in sys.argv
        print(json.dumps(measured(name, (SMALL if small else FULL)[name], small)))
        return []
    given = list(sys.argv[1:] if argv is None else argv)
    words = arguments(__doc__, [word for word in given if word != OLDER])
    before = {"before": True} if OLDER in given else {}
    return [ask(name, before, save=words.save, small=words.small) for name in (SMALL if words.small else FULL)]


def ask(name: str, more: dict[str, Any], *, save: bool, small: bool) -> dict[str, Any]:
    """One line of JSON for one model, from two new processes, of which the second finds the programs of the first."""
    settings = (SMALL if small else FULL)[name]
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
        environment |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_ENABLE_COMPILATION_CACHE": "1"}
        command = [sys.executable, __file__, "--one", name, *(["--small"] if small else [])]
        texts = [
            subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
            for _ in range(2)
        ]
    verbs, again = (json.loads(text.splitlines()[-1]) for text in texts)
    for verb, facts in verbs.items():
        facts["first_seconds_with_programs_on_disk"] = again[verb]["first_seconds"]
    line = {"question": "calls", "settings": {"model": name, **settings, **more, "forgotten": FORGOTTEN}}
    return tell({**line, **made(with_torch=False), "verbs": verbs}, save=save)


def measured(name: str, settings: dict[str, Any], small: bool) -> dict[str, dict[str, float]]:
    """{verb: seconds of its first and second call, programs and their bytes of the first}, in the order of a story."""
    cache, verbs = Path(os.environ["JAX_COMPILATION_CACHE_DIR"]), {}
    for verb, call in story(name, settings, small).items():
        before = sizes(cache)
        with Stopwatch() as first:
            jax.block_until_ready(call())
        files = sizes(cache)
        with Stopwatch() as second:
            jax.block_until_ready(call())
        verbs[verb] = {
            "first_seconds": first.seconds + first.compile_seconds,
            "compile_seconds": first.compile_seconds,
            "programs": first.compilations,
            "program_bytes": sum(size for file, size in files.items() if file not in before),
            "largest_bytes": max((size for file, size in files.items() if file not in before), default=0),
            "second_seconds": second.seconds + second.compile_seconds,
            "second_programs": second.compilations,
        }
    return verbs


def sizes(cache: Path) -> dict[str, int]:
    """The sizes of the compiled programs on disk, compressed."""
    return {path.name: path.stat().st_size for path in cache.glob("*-cache")}


def story(name: str, settings: dict[str, Any], small: bool) -> dict[str, Callable[[], Any]]:
    """The calls by verb. Each needs the results of those before it."""
    train, test = data_of(settings["data"], settings["examples"], small)
    sizes = {"width": settings["width"]} if "width" in settings else {}
    model = cu.registry.build("models", name, classes=3 if settings["data"] == "wine" else 10, **sizes)
    problem = cu.classification(model, train)
    recipe = cu.Recipe(
        learning_rate=0.05, weight_decay=5e-4, radius=20.0, epochs=settings["epochs"], batch_size=settings["batch_size"]
    )
    keys = list(jax.random.split(jax.random.key(0), 4))
    units = settings["units"] and range(settings["units"])
    lissa = cu.LiSSA(depth=4, repeats=2)
    steps = {
        "forget by newton, cg": cu.Newton(operator="ggn", damping=1.0, solver=cu.CG(max_steps=4)),
        "forget by newton, lissa": cu.Newton(operator="ggn", damping=1.0, solver=lissa),
    }
    kept: dict[str, Any] = {}

    def keep(verb: str, value: Any) -> Any:
        kept[verb] = value
        return getattr(value, "params", getattr(value, "rows", None))

    def request() -> Any:
        return kept["request"]

    def forget(method: Any, prepared: Any = None) -> Any:
        kept["update"] = method.forget(kept["run"], prepared, request(), keys[2])
        return kept["update"].params

    def evaluate(run: Any, update: Any) -> None:
        cu.evaluate(run, request(), update, test=test)

    def attack(run: Any, update: Any) -> None:
        cu.evaluate(run, request(), update, test=test, key=keys[3], shadows=4)

    calls: dict[str, Callable[[], Any]] = {
        "train": lambda: keep("run", cu.train(problem, recipe, keys[0])),
        "request": lambda: keep("request", cu.requests.random(keys[1], kept["run"], FORGOTTEN)),
        "prepare": lambda: keep("rows", cu.HessianFree(units=units).prepare(kept["run"])),
        "forget by hessian_free": lambda: forget(cu.HessianFree()),
        **{verb: lambda method=method: forget(method) for verb, method in steps.items()},
        "forget by retraining": lambda: forget(cu.Retrain()),
        "certify": lambda: cu.certify(kept["update"], cu.Budget(epsilon=1.0, delta=1e-5, sigma=0.1)).params,
        "evaluate": lambda: evaluate(kept["run"], kept["update"]),
    }
    if name in COMPARED:
        calls["evaluate and attack"] = lambda: attack(kept["run"], kept["update"])
        calls["plan"] = lambda: str(cu.plan(kept["run"])) and ()
        if not small:
            calls["compare"] = lambda: cu.compare(kept["run"], {"ten": request()}, keys[3], test=test) and ()
    return calls


def data_of(name: str, examples: int, small: bool) -> tuple[cu.Dataset, cu.Dataset]:
    """(training examples, test examples)."""
    if name == "mnist":
        both, _ = images(examples + 200, real=not small)
        return both[:examples], both[examples:]
    splits = cu.datasets.load(name, **({} if name == "wine" else {"train": examples, "test": 200}))
    return splits.train, splits.test


if __name__ == "__main__":
    main()
