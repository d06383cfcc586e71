"""How long do 128 shadow models take if they are trained together, each on its own half of the data?

python benchmarks/shadows.py [--save] [--small]
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import Part, arguments, measure, torch_found
from problems import classifier, difference, images, tensors, torch_images, torch_losses

import certunl as cu
from certunl.base import Params

FULL = {"hidden": (32, 32), "examples": 10_000, "models": 128, "epochs": 1, "batch_size": 32, "alone": 16}
SMALL = {"hidden": (8,), "examples": 60, "models": 6, "epochs": 2, "batch_size": 16, "alone": 2}
RATE, TOLERANCE = 0.05, 1e-4


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    return [ask(save=given.save, small=given.small, **(SMALL if given.small else FULL))]


def ask(
    *,
    hidden: tuple[int, ...],
    examples: int,
    models: int,
    epochs: int,
    batch_size: int,
    alone: int,
    save: bool,
    small: bool,
) -> dict[str, Any]:
    """One line of JSON, with `models` networks on random halves, by `ensemble` and one after another."""
    data, source = images(examples, real=not small)
    recipe = cu.Recipe(learning_rate=RATE, epochs=epochs, batch_size=batch_size, denominator="retained")
    run = cu.train(classifier(hidden, data), recipe, jax.random.key(0))
    starts = jax.vmap(run.problem.init)(jax.random.split(jax.random.key(1), models))
    order = np.random.default_rng(0).permuted(np.tile(np.arange(examples), (models, 1)), axis=1)
    present = order < examples // 2
    size = sum(leaf.size for leaf in jax.tree.leaves(run.params))
    settings: dict[str, Any] = {
        "model": "-".join(map(str, (784, *hidden, 10))),
        "parameters": size,
        "data": source,
        "examples": examples,
        "models": models,
        "epochs": epochs,
        "batch_size": batch_size,
        "seed": 0,
        "ours": "batches of 32 of all examples, shared: each model sees the half of them that it has, about 16",
    }
    factor = models / alone
    peers: dict[str, Callable[[], Any] | Part] = {
        "ours, one after another": Part(lambda: one_by_one(run, present, starts, alone), factor, lambda: None)
    }
    apart = own_batches(present, batch_size, epochs)
    peers["ours, batches of their own halves"] = lambda: cu.ensemble(run, present, starts=starts, schedules=apart)
    settings["ours, batches of their own halves"] = f"each in batches of {batch_size} of its own half: half the steps"
    settings["ours, one after another"] = f"{alone} of {models}: the loop of `train`, batches as ours"
    if torch_found():
        settings["relative_difference"] = compare(run, present, starts)
        own = torch_models(run, present, batch_size, epochs, alone)
        peers["torch"] = Part(own, factor, lambda: None)
        settings["torch"] = f"{alone} of {models}, SGD, each in batches of {batch_size} of its own half: half the steps"

    def check(params: Params) -> dict[str, float]:
        hits = [
            float(jnp.mean(jnp.asarray(run.problem.scores(jax.tree.map(lambda a, i=i: a[i], params), data).correct)))
            for i in range(min(models, 4))
        ]
        return {"accuracy": float(np.mean(hits))}

    steps = len(run.schedule)
    return measure(
        question="shadows",
        settings=settings,
        ours=lambda: cu.ensemble(run, present, starts=starts),
        peers=peers,
        check=check,
        flops=models * steps * batch_size * 2.0 * (3 * size - 784 * hidden[0]),  # no gradient of the inputs
        runs=2 if small else 5,
        save=save,
    )


def own_batches(present: np.ndarray, batch_size: int, epochs: int) -> cu.Schedule:
    """A schedule for each network, with batches of its own half in random order. The last batch is filled up."""
    generator, halves = np.random.default_rng(1), [np.flatnonzero(here) for here in present]
    size = -(-len(halves[0]) // batch_size) * batch_size
    shape = (len(present), epochs * size // batch_size, batch_size)
    order = [[np.resize(generator.permutation(half), size) for _ in range(epochs)] for half in halves]
    weights = np.tile((np.arange(size) < len(halves[0])).astype(np.float32), (len(present), epochs, 1)).reshape(shape)
    rates = np.full(shape[:2], RATE, np.float32)
    parts = (np.array(order, np.int32).reshape(shape), weights, rates, weights.sum(axis=2))
    return cu.Schedule(*map(jnp.asarray, parts))


def one_by_one(run: cu.Run, present: np.ndarray, starts: Params, count: int) -> list[Params]:
    """The networks of the ordinary loop, one half after another."""
    each = []
    for i in range(count):
        gone = jnp.asarray(np.flatnonzero(~present[i]))
        schedule = run.schedule.without(gone)
        start = jax.tree.map(lambda leaf, i=i: leaf[i], starts)
        each.append(cu.fit(run.problem, run.recipe, start, schedule).params)
    return each


def torch_models(
    run: cu.Run, present: np.ndarray, batch_size: int, epochs: int, count: int
) -> Callable[[], list[list[Any]]]:
    """The networks of the usual torch loop, with batches of each network's own half."""
    import torch

    x, y = torch_images(run.problem.data)
    halves = [torch.as_tensor(np.flatnonzero(here)) for here in present[:count]]

    def train_all() -> list[list[Any]]:
        trained = []
        for i, half in enumerate(halves):
            params = [p.requires_grad_() for p in tensors(run.start)]
            optimizer = torch.optim.SGD(params, lr=RATE)
            generator = torch.Generator().manual_seed(i)
            for _ in range(epochs):
                for batch in half[torch.randperm(len(half), generator=generator)].split(batch_size):
                    optimizer.zero_grad()
                    torch_losses(params, x[batch], y[batch]).mean().backward()
                    optimizer.step()
            trained.append([p.detach() for p in params])
        return trained

    return train_all


def compare(run: cu.Run, present: np.ndarray, starts: Params) -> float:
    """The largest relative difference between ours and torch after eight steps on the same batches.

    Raises: RuntimeError if it is not below the tolerance.
    """
    import torch

    short = replace(run, schedule=jax.tree.map(lambda leaf: leaf[:8], run.schedule))
    ours = cu.ensemble(short, present[:2], starts=jax.tree.map(lambda leaf: leaf[:2], starts))
    x, y = torch_images(run.problem.data)
    worst = 0.0
    for i in range(2):
        params = [p.requires_grad_() for p in tensors(jax.tree.map(lambda leaf, i=i: leaf[i], starts))]
        optimizer = torch.optim.SGD(params, lr=RATE)
        for row, weights in zip(np.asarray(short.schedule.indices), np.asarray(short.schedule.weights), strict=True):
            batch = torch.as_tensor(row[(weights > 0) & present[i][row]].astype(np.int64))
            optimizer.zero_grad()
            torch_losses(params, x[batch], y[batch]).mean().backward()
            optimizer.step()
        worst = max(worst, difference(jax.tree.map(lambda leaf, i=i: leaf[i], ours), [p.detach() for p in params]))
    if not worst < TOLERANCE:
        raise RuntimeError(f"ours and torch differ by {worst:.3g}, allowed are {TOLERANCE}")
    return worst


if __name__ == "__main__":
    main()
