"""Does the recursive bound hold against retraining, and when is it below the bound of doing nothing?

python benchmarks/recursive_bound.py [--save] [--small]

The problem is softmax regression on digits. Inputs are centred and scaled to norm 1, get a constant feature, and are
divided by √2, so their norm is at most 1.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from harness import arguments, made, tell

import certunl as cu

SETTINGS = tuple(
    {"weight_decay": decay, "learning_rate": rate, "decay": q, "batch_size": batch}
    for decay, rate, q, batch in ((0.5, 0.05, 0.995, 32), (0.05, 0.5, 0.995, 250), (0.01, 0.5, 0.999, 32))
)
SIZES, SEEDS, EXAMPLES, EPOCHS = (1, 10, 50), 5, 1000, 15


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    some = (SETTINGS[:1], (1, 5), 1, 60, 2) if given.small else (SETTINGS, SIZES, SEEDS, EXAMPLES, EPOCHS)
    settings, sizes, seeds, examples, epochs = some
    with jax.enable_x64(True):  # in float32 rounding would be most of the smallest bounds
        data = bounded(examples)
        return [
            tell(ask(data, setting, epochs, size, seeds) | made(False), save=given.save)
            for setting in settings
            for size in sizes
        ]


def bounded(examples: int) -> cu.Dataset:
    train = cu.datasets.load("digits", train=examples).train
    x = np.asarray(train.x, np.float64).reshape(examples, -1)
    x -= x.mean(axis=0)
    x = np.hstack([x / np.linalg.norm(x, axis=1, keepdims=True), np.ones((examples, 1))]) / np.sqrt(2)
    return cu.Dataset(x, train.y)


def ask(data: cu.Dataset, setting: dict[str, float], epochs: int, size: int, seeds: int) -> dict[str, Any]:
    """Distances and bounds of one request of `size`, over seeds of schedule and request. Training starts at 0."""
    problem = cu.classification(cu.models.Linear(bias=False, dtype=jnp.float64), data)
    recipe = cu.Recipe(epochs=epochs, **setting)  # pyright: ignore[reportArgumentType]
    rows: dict[str, list[float]] = {}
    for seed in range(seeds):
        start, ask_key, key = jax.random.split(jax.random.key(seed), 3)
        zero = jax.tree.map(jnp.zeros_like, problem.init(start))
        run = cu.fit(problem, recipe, zero, cu.train(problem, recipe, key).schedule)
        request = cu.requests.random(ask_key, run, size=size)
        truth = cu.Retrain().forget(run, None, request, key).params
        found = {"doing nothing": gap(run.params, truth)}
        for form in ("first_order", "retained"):
            update = cu.HessianFree(assumed="linear", form=form).forget(run, None, request, key)
            assert update.bound is not None and update.guarantee.doing_nothing is not None
            found |= {form: gap(update.params, truth), f"{form}, bound": update.bound}
            found["doing nothing, bound"] = update.guarantee.doing_nothing
        for name in ("doing nothing", "first_order", "retained"):
            if found[name] > found[f"{name}, bound"]:
                raise RuntimeError(f"a bound does not hold: {found}")
        for name, value in found.items():
            rows.setdefault(name, []).append(value)
    summary = {name: {"mean": float(np.mean(values)), "max": max(values)} for name, values in rows.items()}
    settings = {"data": "digits, norm at most 1", "examples": len(data), "epochs": epochs, "forgotten": size, **setting}
    return {"question": "recursive_bound", "settings": settings | {"seeds": seeds}, "rows": summary}


def gap(a: Any, b: Any) -> float:
    return float(optax.tree.norm(optax.tree.sub(a, b)))


if __name__ == "__main__":
    main()
