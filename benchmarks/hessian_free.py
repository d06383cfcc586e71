"""How long do the statistics of all units take, for logistic regression and two small networks on MNIST?

python benchmarks/hessian_free.py [--save] [--small]
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import Part, arguments, measure, torch_found
from problems import classifier, convolutional, difference, images, logistic, product_flops, tensors, torch_losses

import certunl as cu
from certunl.training.workers import chunk_size, spread, workers

RECIPE = cu.Recipe(learning_rate=0.05, decay=0.995, epochs=15, batch_size=32)
FEW = cu.Recipe(learning_rate=0.05, decay=0.995, epochs=2, batch_size=64)
FULL = (
    {"hidden": (), "recipe": RECIPE, "examples": 1000, "units": 1000, "sample": 10, "chunk": 500},
    {"hidden": "own loss", "recipe": RECIPE, "examples": 1000, "units": 1000, "sample": 10, "chunk": 500},
    {"hidden": (32, 32), "recipe": RECIPE, "examples": 1000, "units": 100, "sample": 10, "chunk": 100},
    {"hidden": "cnn", "recipe": FEW, "examples": 1000, "units": 32, "sample": 8, "chunk": 4},
    {"hidden": "cnn, relu, max", "recipe": FEW, "examples": 1000, "units": 32, "sample": 8, "chunk": 4},
)
TINY = cu.Recipe(learning_rate=0.05, epochs=2, batch_size=8)
SMALL = (
    {"hidden": (), "recipe": TINY, "examples": 40, "units": 6, "sample": 2, "chunk": 3},
    {"hidden": "own loss", "recipe": TINY, "examples": 40, "units": 6, "sample": 2, "chunk": 3},
    {"hidden": "cnn", "recipe": TINY, "examples": 16, "units": 2, "sample": 1, "chunk": 1},
)
TOLERANCE = {"cnn, relu, max": 0.1}
"""Single precision puts some examples on the other side of a kink. Models without kinks have 1e-3."""


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    return [ask(save=given.save, small=given.small, **setting) for setting in (SMALL if given.small else FULL)]


def ask(
    *,
    hidden: tuple[int, ...] | str,
    recipe: cu.Recipe,
    examples: int,
    units: int,
    sample: int,
    chunk: int,
    save: bool,
    small: bool,
) -> dict[str, Any]:
    """One line of JSON for the rows of the first `units` examples, by `prepare` and by torch along one schedule."""
    data, source = images(examples, real=not small)
    own = hidden == "own loss"
    if own:
        problem = logistic(data)
    else:
        problem = convolutional(hidden, data) if isinstance(hidden, str) else classifier(hidden, data)
    run = cu.train(problem, recipe, jax.random.key(0))
    settings: dict[str, Any] = {
        "model": name_of(hidden),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(run.params)),
        "data": source,
        "examples": examples,
        "units": units,
        "steps": len(run.schedule),
        **{name: getattr(recipe, name) for name in ("learning_rate", "decay", "epochs", "batch_size")},
        "seed": 0,
    }
    peers: dict[str, Callable[[], Any] | Part] = {}
    check: Callable[[Any], dict[str, float]] | None = None
    if torch_found():
        loop, mapped = torch_peers(run)
        some = range(sample)
        peers = {
            "torch double backward": Part(lambda: loop(some), units / sample, lambda: loop(())),
            "torch.func vmap(jvp(grad))": lambda: mapped(range(units), chunk),
        }
        settings |= {
            "torch double backward": f"extrapolated from {sample} units; training itself counted once",
            "torch.func vmap(jvp(grad))": f"all units, in chunks of {chunk}",
        }

        def agreement(rows: Any) -> dict[str, float]:
            """The largest relative difference between ours and torch, over the rows of sampled units."""
            theirs = (loop(some), mapped(some, chunk))
            pairs = [(jax.tree.map(lambda a, u=u: a[u], rows), [a[u] for a in other]) for other in theirs for u in some]
            worst = max(difference(*pair) for pair in pairs)
            if not worst < (allowed := TOLERANCE.get(str(hidden), 1e-3)):
                raise RuntimeError(f"ours and torch differ by {worst:.3g} on {sample} units, allowed are {allowed}")
            return {"relative_difference": worst}

        check = agreement

    if hidden == ():
        peers["its two matrix products alone"] = products_alone(run, units)
    method = cu.HessianFree(units=tuple(range(units)))
    slots = float(np.sum(np.asarray(run.schedule.weights) != 0))
    return measure(
        question="hessian_free",
        settings=settings,
        ours=lambda: method.prepare(run).rows,
        peers=peers,
        check=check,
        flops=None if isinstance(hidden, str) and not own else units * slots * product_flops(run.params, primal=False),
        runs=2 if small else 5,
        save=save,
    )


def name_of(hidden: tuple[int, ...] | str) -> str:
    if hidden == "own loss":
        return "784-10, a loss of the user's"
    return hidden if isinstance(hidden, str) else "-".join(map(str, (784, *hidden, 10)))


def products_alone(run: cu.Run, units: int) -> Callable[[], Any]:
    """The two matrix products that the rows of softmax regression need, at the shapes of its blocks and on as many
    cores. Each step multiplies a batch by the block, and the result by the batch."""
    size, (steps, batch) = chunk_size(run, units), run.schedule.indices.shape
    x = jax.random.normal(jax.random.key(0), (batch, 784)) / 784**0.5
    block = jax.random.normal(jax.random.key(1), (10 * size, 784))

    @jax.jit
    def along(rows: jax.Array) -> jax.Array:
        def one(rows: jax.Array, _: None) -> tuple[jax.Array, None]:
            outputs = jnp.matmul(rows, x.T, precision="highest")
            return jnp.matmul(outputs, x, precision="highest"), None

        return jax.lax.scan(one, rows, None, length=steps)[0]

    return lambda: list(spread(lambda part, device: along(block), range(-(-units // size)), workers(run)))


def torch_peers(run: cu.Run) -> tuple[Callable[..., list[Any]], Callable[..., list[Any]]]:
    """The rows of some units in two ways, for plain SGD: a' = a − rate H a + (rate/|B|) g_u if u is in the batch B."""
    import torch
    from torch.autograd import grad as differentiate
    from torch.func import grad, jvp, vmap

    x, y = tensors((run.problem.data.x, run.problem.data.y))
    y, model = y.long(), getattr(run.problem.losses, "model", None)
    start = tensors(run.start)
    rates = np.asarray(run.schedule.rates).tolist()
    kept = np.asarray(run.schedule.weights) != 0
    members = [row[mask].tolist() for row, mask in zip(np.asarray(run.schedule.indices), kept, strict=True)]
    batches = [torch.tensor(ids, device=x.device) for ids in members]
    places = [{unit: slot for slot, unit in enumerate(ids)} for ids in members]

    def loop(units: Sequence[int]) -> list[Any]:
        """The rows unit by unit. Each product is a backward pass through one shared graph of the batch's gradient."""
        params = [p.clone().requires_grad_() for p in start]
        rows = {unit: [torch.zeros_like(p) for p in start] for unit in units}
        for batch, rate, place in zip(batches, rates, places, strict=True):
            losses = torch_losses(params, x[batch], y[batch], model)
            grads = differentiate(losses.mean(), params, create_graph=True)
            for unit, row in rows.items():
                for a, h in zip(row, differentiate(grads, params, row, retain_graph=True), strict=True):
                    a.sub_(h, alpha=rate)
                if unit in place:
                    own = differentiate(losses[place[unit]], params, retain_graph=True)
                    for a, g in zip(row, own, strict=True):
                        a.add_(g, alpha=rate / len(batch))
            with torch.no_grad():
                for p, g in zip(params, grads, strict=True):
                    p.sub_(g, alpha=rate)
        return [torch.stack(leaves) for leaves in zip(*rows.values(), strict=True)]

    def pushed(inputs: Any, labels: Any, point: Any, row: list[Any], removed: Any) -> tuple[Any, ...]:
        """The gradient at point = (params, weights), and its derivative along (row, removed)."""

        def risk(p: list[Any], w: Any) -> Any:
            return (torch_losses(p, inputs, labels, model) * w).sum()

        return jvp(grad(risk), point, (row, removed))

    shared: Any = (None, 0)  # all units share the gradient

    def mapped(units: Sequence[int], chunk: int) -> list[Any]:
        """The rows of a chunk of units along the schedule. The tangent of the weights adds the units' gradients."""
        blocks = []
        for part in torch.tensor(list(units), device=x.device).split(chunk):
            params = start
            block = [torch.zeros(len(part), *p.shape, dtype=p.dtype, device=p.device) for p in start]
            for batch, rate in zip(batches, rates, strict=True):
                weights = torch.full_like(batch, 1 / len(batch), dtype=x.dtype)
                removed = -weights * (part[:, None] == batch)
                push = partial(pushed, x[batch], y[batch], (params, weights))
                grads, changes = vmap(push, out_dims=shared)(block, removed)
                for a, h in zip(block, changes, strict=True):
                    a.sub_(h, alpha=rate)
                params = [p - rate * g for p, g in zip(params, grads, strict=True)]
            blocks.append(block)
        return [torch.cat(leaves) for leaves in zip(*blocks, strict=True)]

    return loop, mapped


if __name__ == "__main__":
    main()
