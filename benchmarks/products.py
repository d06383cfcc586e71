"""How much does a Hessian product cost beside a gradient, and how much memory does a Newton update of AllCNN take?

python benchmarks/products.py [--save] [--small]
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import arguments, measure, torch_found
from problems import tensors

import certunl as cu
from certunl.base import Key, Params, SampledOperator
from certunl.training.curvature import damped, hvp
from certunl.training.streaming import drawn, sampled

Sizes = dict[str, tuple[dict[str, Any], int]]
FULL: Sizes = {
    "mlp": ({}, 128),
    "cnn": ({}, 64),
    "allcnn": ({}, 8),
    "resnet18": ({}, 4),
}
SMALL: Sizes = {
    "mlp": ({"hidden": (8,)}, 4),
    "cnn": ({"channels": (2, 2), "hidden": 4}, 2),
}
IMAGES = {"mlp": (28, 28, 1), "cnn": (28, 28, 1), "allcnn": (32, 32, 3), "resnet18": (32, 32, 3)}
STEPS = 4
"""Number of products in one program. Each multiplies the last result, as in a recursion."""


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    models = SMALL if given.small else FULL
    lines = [ask(name, *models[name], save=given.save, small=given.small) for name in models]
    name = "cnn" if given.small else "allcnn"
    lines.append(memory(name, *models[name], save=given.save, small=given.small))
    lines.append(recursion(models["cnn"][0], save=given.save, small=given.small))
    return lines


def build(name: str, settings: dict[str, Any], size: int) -> tuple[cu.Problem, Params]:
    """The network and its initial parameters, on `size` seeded random images."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(size, *IMAGES[name])).astype(np.float32)
    data = cu.Dataset(x, generator.integers(10, size=size).astype(np.int32))
    problem = cu.classification(cu.registry.build("models", name, **settings), data)
    return problem, jax.jit(problem.init)(jax.random.key(0))


def count(params: Params) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@jax.jit
def gradients(problem: cu.Problem, params: Params) -> Params:
    """STEPS gradients. Each is taken at the parameters that the last one moved."""
    weights = jnp.full(len(problem.data), 1 / len(problem.data))

    def advance(p: Params, _: None) -> tuple[Params, None]:
        slope = jax.grad(problem.risk)(p, problem.data, weights)
        return jax.tree.map(lambda a, g: a - 1e-3 * g, p, slope), None

    return jax.lax.scan(advance, params, None, length=STEPS)[0]


@jax.jit
def products(problem: cu.Problem, params: Params) -> Params:
    """STEPS Hessian products at `params`. Each multiplies the last result."""
    weights = jnp.full(len(problem.data), 1 / len(problem.data))

    def advance(v: Params, _: None) -> tuple[Params, None]:
        return jax.tree.map(lambda a, h: a - 1e-3 * h, v, hvp(problem, params, v, problem.data, weights)), None

    return jax.lax.scan(advance, params, None, length=STEPS)[0]


def ask(name: str, settings: dict[str, Any], size: int, *, save: bool, small: bool) -> dict[str, Any]:
    """One line of JSON, with Hessian products and gradients of the same batch. The ratio is gradients over products."""
    problem, params = build(name, settings, size)
    return measure(
        question="products",
        settings={
            "asked": "a Hessian product against a gradient of the same batch",
            "model": name,
            "parameters": count(params),
            "batch_size": size,
            "steps": STEPS,
            "data": "seeded noise",
            "seed": 0,
        },
        ours=lambda: products(problem, params),
        peers={"gradients": lambda: gradients(problem, params)},
        runs=2 if small else 5,
        save=save,
    )


@partial(jax.jit, static_argnames="solver")
def solve(problem: cu.Problem, params: Params, b: Params, key: Key, solver: cu.LiSSA) -> Params:
    """(H + I)⁻¹ b by mini-batches, with the operator that `Newton` uses."""
    weights = jnp.full(len(problem.data), 1 / len(problem.data))

    def at(v: Params, indices: jax.Array) -> Params:
        return sampled(partial(hvp, problem, params, v), problem.data, weights, indices)

    operator = SampledOperator(partial(drawn, weights, solver.batch_size), at)
    return solver(damped(operator, 1.0), b, key).x


def memory(name: str, settings: dict[str, Any], size: int, *, save: bool, small: bool) -> dict[str, Any]:
    """One line of JSON, with the bytes that XLA reserves for a recursion and for products on one fixed mini-batch. XLA
    keeps the activations of a fixed batch from product to product, as in the measurement of the spectrum."""
    problem, params = build(name, settings, size)
    d = count(params)
    one = cu.LiSSA(depth=STEPS, repeats=1, scale=100.0, batch_size=size)
    ten = cu.LiSSA(depth=STEPS, repeats=10, scale=100.0, batch_size=size)

    def temporary(compiled: Any) -> float:
        return float(compiled.memory_analysis().temp_size_in_bytes)

    key = jax.random.key(0)
    product = temporary(products.lower(problem, params).compile())
    chains = {n: temporary(solve.lower(problem, params, params, key, s).compile()) for n, s in ((1, one), (10, ten))}
    facts = {
        "asked": "bytes set aside for a recursion, beyond its inputs and result",
        "model": name,
        "parameters": d,
        "batch_size": size,
        "product_bytes": product,
        "chain_bytes": chains[1],
        "ten_chains_bytes": chains[10],
        "chain_vectors_beyond_a_product": (chains[1] - product) / (4 * d),
        "ten_chains_vectors_beyond_a_product": (chains[10] - product) / (4 * d),
        "data": "seeded noise",
        "seed": 0,
    }
    return measure(
        question="products",
        settings=facts,
        ours=lambda: solve(problem, params, params, key, one),
        peers={},
        runs=2 if small else 3,
        save=save,
    )


def recursion(settings: dict[str, Any], *, save: bool, small: bool) -> dict[str, Any]:
    """One line of JSON, with LiSSA on the CNN and torch's double backward. Both have ten chains of mini-batches of 10,
    and equally many products. Ours also measures its extreme eigenvalues."""
    problem, params = build("cnn", settings, 100)
    depth = 4 if small else 100
    solver = cu.LiSSA(depth=depth, repeats=10, scale=100.0, batch_size=10)
    peers: dict[str, Callable[[], Any]] = {}
    if torch_found():
        peers["torch double backward"] = torch_loop(problem, params, 10 * depth)
    return measure(
        question="products",
        settings={
            "asked": "LiSSA on the CNN",
            "model": "cnn",
            "parameters": count(params),
            "depth": depth,
            "repeats": 10,
            "batch_size": 10,
            "data": "seeded noise",
            "seed": 0,
        },
        ours=lambda: solve(problem, params, params, jax.random.key(0), solver),
        peers=peers,
        runs=2 if small else 5,
        save=save,
    )


def torch_loop(problem: cu.Problem, params: Params, total: int) -> Callable[[], Any]:
    """`total` steps x <- x + (b − (H_t + I) x)/100 on mini-batches of 10, for the same network with kernels in torch's
    layout."""
    import torch
    from torch.autograd import grad as differentiate
    from torch.nn import functional as F

    flat = {"/".join(str(p.key) for p in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    kinds = sorted({name.rsplit("/", 1)[0] for name in flat})
    own = []
    for kind in kinds:
        kernel, bias = tensors([flat[f"{kind}/kernel"], flat[f"{kind}/bias"]])
        own += [(kernel.permute(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T).contiguous(), bias]
    weights = [w.requires_grad_() for w in own]
    x, y = tensors((problem.data.x, problem.data.y))
    x, y = x.permute(0, 3, 1, 2).contiguous(), y.long()

    def loss(batch: Any) -> Any:
        h = x[batch]
        for kernel, bias in ((weights[0], weights[1]), (weights[2], weights[3])):
            h = torch.tanh(F.avg_pool2d(F.conv2d(h, kernel, bias), 2))
        h = torch.tanh(F.linear(h.flatten(1), weights[4], weights[5]))
        return F.cross_entropy(F.linear(h, weights[6], weights[7]), y[batch])

    def loop() -> Any:
        start = [w.detach() / 100 for w in weights]
        point = [s.clone() for s in start]
        for batch in torch.randint(len(y), (total, 10)):
            slope = differentiate(loss(batch), weights, create_graph=True)
            for p, s, h in zip(point, start, differentiate(slope, weights, point), strict=True):
                p.mul_(1 - 1 / 100).add_(s).sub_(h, alpha=1 / 100)
        return point

    return loop


if __name__ == "__main__":
    main()
