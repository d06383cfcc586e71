"""What does a step of training with noise cost beside a plain one: clipping each example's gradient, and the noise?

python benchmarks/clipping.py [--save] [--small]
"""

from collections.abc import Callable, Sequence
from importlib import util
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import Part, arguments, measure, torch_found
from problems import classifier, convolutional, images, tensors, torch_images, torch_losses

import certunl as cu
from certunl.base import width
from certunl.certificates.noise import integers
from certunl.training.loop import begin
from certunl.training.noisy import noisy_steps
from certunl.training.noisy_gradient import noise_grid, noisy_gradient

FULL = (
    {"hidden": (32, 32), "batch": 1000},
    {"hidden": (128,), "batch": 2000},
    {"hidden": "cnn", "batch": 2000},
)
SMALL = ({"hidden": (8,), "batch": 20}, {"hidden": "cnn", "batch": 10})
CLIP = 1.0
STEPS = 16  # two blocks, of which the noise of the second is drawn while the device computes the first


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    return [ask(**setting, save=given.save, small=given.small) for setting in (SMALL if given.small else FULL)]


def ask(*, hidden: tuple[int, ...] | str, batch: int, save: bool, small: bool) -> dict[str, Any]:
    """One line of JSON: the noisy gradient of a batch, a plain gradient, the noise alone, and peers in torch."""
    data, source = images(2 * batch, real=not small)
    problem = convolutional(hidden, data) if isinstance(hidden, str) else classifier(hidden, data)
    params = problem.init(jax.random.key(0))
    recipe = cu.Recipe(epochs=1, batch_size=batch, clip_each=CLIP, noise=10.0)
    cell, d = noise_grid(recipe, batch), width(params)
    leaves, tree = jax.tree.flatten(params)
    zeros = tree.unflatten([jnp.zeros(leaf.shape, jnp.int32) for leaf in leaves])

    def row(size: int) -> cu.Schedule:
        one = cu.Schedule(np.arange(size)[None], np.ones((1, size)), np.ones(1))
        return jax.tree.map(lambda a: jnp.asarray(a)[0], one)

    noisy = jax.jit(lambda params, row: noisy_gradient(problem, recipe, params, row, zeros, cell))
    plain = jax.jit(lambda params, row: jax.grad(problem.risk)(params, problem.batch(row.indices), row.weights / batch))
    ids, state = row(batch), begin(problem, recipe, params)
    steps = jax.tree.map(lambda a: jnp.broadcast_to(a, (STEPS, *a.shape)), ids)
    analyses: list[Any] = [noisy.lower(params, row(size)).compile().memory_analysis() for size in (batch, 2 * batch)]
    memory = [analysis.temp_size_in_bytes for analysis in analyses]
    peers: dict[str, Callable[[], Any] | Part] = {
        "plain gradient": lambda: plain(params, ids),
        "drawing the noise": lambda: integers(b"some seed", np.zeros(d), recipe.noise * CLIP / cell),
        f"{STEPS} steps of training": lambda: noisy_steps(problem, recipe, state, steps, b"some seed", 0, STEPS)[0][0],
    }
    if torch_found() and not isinstance(hidden, str):
        peers["torch.func vmap(grad)"] = torch_peer(params, data[:batch])
        if util.find_spec("opacus"):
            peers["opacus"] = opacus_peer(hidden, data[:batch])
    return measure(
        question="clipping",
        settings={
            "model": hidden if isinstance(hidden, str) else "-".join(map(str, (784, *hidden, 10))),
            "parameters": d,
            "batch": batch,
            "data": source,
            "temporary_bytes": memory[0],
            "temporary_bytes_of_twice_the_batch": memory[1],
        },
        ours=lambda: noisy(params, ids),
        peers=peers,
        runs=2 if small else 5,
        save=save,
    )


def torch_peer(params: Any, data: cu.Dataset) -> Callable[[], Any]:
    """The clipped sum by one gradient for each example."""
    import torch

    weights, (x, y) = tensors(params), torch_images(data)

    def loss(weights: Any, x: Any, y: Any) -> Any:
        return torch_losses(weights, x[None], y[None])[0]

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

    def clipped() -> Any:
        gradients = each(weights, x, y)
        norms = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()
        shares = (CLIP / norms).clamp(max=1.0)
        return [torch.einsum("b,b...->...", shares, g) for g in gradients]

    return clipped


def opacus_peer(hidden: tuple[int, ...], data: cu.Dataset) -> Callable[[], Any]:
    """The clipped sum with the hooks of Opacus."""
    import torch
    from opacus import GradSampleModule

    sizes = (784, *hidden, 10)
    layers: list[Any] = []
    for i, (a, b) in enumerate(pairwise(sizes)):
        layers += [torch.nn.Linear(a, b), *([torch.nn.Softplus()] if i + 2 < len(sizes) else [])]
    model, (x, y) = GradSampleModule(torch.nn.Sequential(*layers)), torch_images(data)
    criterion = torch.nn.CrossEntropyLoss(reduction="sum")

    def clipped() -> Any:
        model.zero_grad()
        criterion(model(x), y).backward()
        gradients = [p.grad_sample for p in model.parameters()]
        norms = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()
        shares = (CLIP / norms).clamp(max=1.0)
        return [torch.einsum("b,b...->...", shares, g) for g in gradients]

    return clipped


if __name__ == "__main__":
    main()
