"""How far off are rows whose products are taken in bfloat16, and does forgetting notice?

python benchmarks/narrow_products.py [--save] [--small]
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import arguments, made, tell
from problems import images

import certunl as cu
from certunl.base import width
from certunl.timing import Stopwatch

MODELS: dict[str, dict[str, Any]] = {"linear": {}, "mlp": {"hidden": (32, 32)}, "cnn": {}}
FULL = {"examples": 1000, "epochs": 3, "forgotten": 50}
SMALL = {"examples": 40, "epochs": 1, "forgotten": 4}
RECIPE = {"learning_rate": 0.05, "batch_size": 64, "weight_decay": 5e-4}
KINDS = {"float64": None, "float32": None, "bfloat16": "bfloat16"}
"""The products of each kind of row. Parameters and sums are float64 in the first kind, and float32 in the others."""


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    words = arguments(__doc__, argv)
    settings, models = (SMALL, ("linear",)) if words.small else (FULL, tuple(MODELS))
    with jax.enable_x64(True):
        return [ask(name, settings, save=words.save, small=words.small) for name in models]


def ask(name: str, settings: dict[str, Any], *, save: bool, small: bool) -> dict[str, Any]:
    """One line of JSON for one model: errors of the rows of a request, and of forgetting it by them."""
    data, source = images(settings["examples"], real=not small)
    recipe = cu.Recipe(epochs=settings["epochs"], **RECIPE)
    runs, keys = {}, jax.random.split(jax.random.key(0), 2)
    with Stopwatch() as watch:
        for dtype in ("float64", "float32"):
            model = cu.registry.build("models", name, classes=10, dtype=dtype, **MODELS[name])
            typed = cu.Dataset(jnp.asarray(data.x, dtype), data.y)
            problem = cu.classification(model, typed)
            if not runs:
                runs[dtype] = cu.train(problem, recipe, keys[0])
                continue
            start = jax.tree.map(lambda leaf: leaf.astype("float32"), runs["float64"].start)
            runs[dtype] = cu.fit(problem, recipe, start, runs["float64"].schedule)
        request = cu.requests.random(keys[1], runs["float64"], settings["forgotten"])
        retrained = {d: flat(cu.Retrain().forget(run, None, request, keys[1]).params) for d, run in runs.items()}
        kinds = compared(runs, retrained, request)
    facts = {"model": name, "parameters": width(runs["float32"].start), "data": source, **settings, **RECIPE}
    line = {"question": "narrow_products", "settings": facts, **made(with_torch=False), "kinds": kinds}
    return tell({**line, "all_seconds": watch.seconds + watch.compile_seconds}, save=save)


def compared(runs: Any, retrained: Any, request: Any) -> dict[str, dict[str, float]]:
    """{kind of row: errors of single rows and of their sum, and the distance to retraining as a share of doing nothing}

    An error is ‖row − row in float64‖/‖row in float64‖.
    """
    found: dict[str, dict[str, float]] = {}
    exact = np.zeros(0)
    for kind, products in KINDS.items():
        run = runs.get(kind, runs["float32"])
        method = cu.HessianFree(units=request, gather=cu.Forward(products=products))
        rows = each(method.prepare(run).rows)
        exact = exact if exact.size else rows
        trained, true = flat(run.params), retrained.get(kind, retrained["float32"])
        apart = np.linalg.norm(rows - exact, axis=1) / np.linalg.norm(exact, axis=1)
        total = np.linalg.norm((rows - exact).sum(0)) / np.linalg.norm(exact.sum(0))
        share = np.linalg.norm(trained + rows.sum(0) - true) / np.linalg.norm(trained - true)
        found[kind] = {"median": float(np.median(apart)), "largest": float(apart.max())}
        found[kind] |= {"sum": float(total), "share": float(share)}
    return found


def each(tree: Any) -> np.ndarray:
    """f64[m, d]: the rows of a pytree with leading axis m."""
    return np.concatenate([np.asarray(leaf, float).reshape(len(leaf), -1) for leaf in jax.tree.leaves(tree)], axis=1)


def flat(tree: Any) -> np.ndarray:
    """f64[d]: the leaves of a pytree, one after another."""
    return each(jax.tree.map(lambda leaf: leaf[None], tree))[0]


if __name__ == "__main__":
    main()
