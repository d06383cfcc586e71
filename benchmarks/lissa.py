"""How long does the LiSSA recursion take on the small network, 784-32-32-10 on MNIST?

python benchmarks/lissa.py [--save] [--small]
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from harness import Part, arguments, measure, torch_found
from jax.sharding import PartitionSpec
from problems import classifier, difference, images, product_flops, tensors, torch_images, torch_losses

import certunl as cu
from certunl.base import Key, Params, SampledOperator
from certunl.solvers import Solution
from certunl.training.curvature import damped, hvp
from certunl.training.mesh import Worker
from certunl.training.streaming import drawn, sampled

FULL = {
    "hidden": (32, 32),
    "examples": 1000,
    "forgotten": 20,
    "epochs": 10,
    "depth": 1000,
    "repeats": 10,
    "peer_depth": 100,
}
SMALL = {"hidden": (8,), "examples": 40, "forgotten": 4, "epochs": 2, "depth": 10, "repeats": 4, "peer_depth": 3}
LOOP_CHAINS = 2
DAMPING, SCALE, BATCH = 1.0, 500.0, 10
TOLERANCE = 1e-4
if jax.config.jax_num_cpu_devices != 2:  # pyright: ignore[reportAttributeAccessIssue]; nothing to a GPU or a TPU
    jax.config.update("jax_num_cpu_devices", 2)


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    return [ask(save=given.save, small=given.small, **(SMALL if given.small else FULL))]


def ask(
    *,
    hidden: tuple[int, ...],
    examples: int,
    forgotten: int,
    epochs: int,
    depth: int,
    repeats: int,
    peer_depth: int,
    save: bool,
    small: bool,
) -> dict[str, Any]:
    """One line of JSON for (H + damping I)⁻¹ b, b the forgotten examples' share of the gradient of the trained risk."""
    data, source = images(examples, real=not small)
    train_key, chain_key = jax.random.split(jax.random.key(0))
    recipe = cu.Recipe(learning_rate=0.05, epochs=epochs, batch_size=100)
    run = cu.train(classifier(hidden, data), recipe, train_key)
    share = jnp.full(forgotten, 1 / examples)
    b = jax.jit(jax.grad(run.problem.risk))(run.params, run.problem.data[jnp.arange(forgotten)], share)
    devices = 2 if jax.local_device_count() > 1 and repeats % 2 == 0 else 1
    solver = cu.LiSSA(depth=depth, repeats=repeats, scale=SCALE, batch_size=BATCH)
    ours = over(devices, run, b, chain_key, solver)
    settings: dict[str, Any] = {
        "model": "-".join(map(str, (784, *hidden, 10))),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(run.params)),
        "data": source,
        "examples": examples,
        **{name: getattr(solver, name) for name in ("depth", "repeats", "scale", "batch_size")},
        "devices": devices,
        "damping": DAMPING,
        "seed": 0,
        "ours": "measures the extreme eigenvalues of four mini-batches too, by 48 products",
    }
    peers: dict[str, Callable[[], Any] | Part] = {"one device": over(1, run, b, chain_key, solver)}
    if torch_found():
        product, loop, mapped = torch_peers(run, b)
        settings["relative_difference"] = compare(run, b, product, loop, mapped)
        chains = min(LOOP_CHAINS, repeats)
        peers |= {
            "torch double backward": Part(
                lambda: loop(peer_depth, chains), depth * repeats / (peer_depth * chains), lambda: None
            ),
            "torch.func vmap(jvp(grad))": Part(lambda: mapped(peer_depth, repeats), depth / peer_depth, lambda: None),
        }
        settings |= {
            "torch double backward": f"extrapolated from {chains} chains of {peer_depth} steps, one after another",
            "torch.func vmap(jvp(grad))": f"extrapolated from {repeats} chains of {peer_depth} steps, side by side",
        }

    def check(solution: Solution) -> dict[str, float]:
        solver.verify(solution)
        left = float(residual(run, b, solution.x))
        if not left < 1:
            raise RuntimeError(f"the recursion is no nearer the solution than 0 is: residual {left:.3g}")
        return {"top_eigenvalue": float(solution.highest), "residual": left}

    return measure(
        question="lissa",
        settings=settings,
        ours=ours,
        peers=peers,
        check=check,
        flops=depth * repeats * BATCH * product_flops(run.params, primal=True),
        runs=2 if small else 5,
        save=save,
    )


def over(count: int, run: cu.Run, b: Params, key: Key, solver: cu.LiSSA) -> Callable[[], Solution]:
    """`solve` on that many devices, which share the chains as they do in `Newton` inside `use_mesh`."""
    worker = Worker(tuple(jax.local_devices()[:count]))
    inputs = worker.copied((run, b, key), solver.axis)
    share = jax.shard_map(
        lambda *inputs: solve(*inputs, solver),
        mesh=worker.mesh(solver.axis),
        in_specs=PartitionSpec(),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    program = jax.jit(share)
    return lambda: program(*inputs)


@partial(jax.jit, static_argnames="solver")
def solve(run: cu.Run, b: Params, key: Key, solver: cu.LiSSA) -> Solution:
    """The solution for the mini-batch operator that `Newton` uses."""
    data = run.problem.data
    weights = jnp.full(len(data), 1 / len(data))

    def at(v: Params, indices: jax.Array) -> Params:
        return sampled(partial(hvp, run.problem, run.params, v), data, weights, indices)

    operator = SampledOperator(partial(drawn, weights, solver.batch_size), at)
    return solver(damped(operator, DAMPING), b, key)


@jax.jit
def residual(run: cu.Run, b: Params, x: Params) -> jax.Array:
    """‖b − (H + damping I) x‖/‖b‖ on all examples."""
    data = run.problem.data
    product = hvp(run.problem, run.params, x, data, jnp.full(len(data), 1 / len(data)))
    left = jax.tree.map(lambda bi, hi, xi: bi - hi - DAMPING * xi, b, product, x)
    return optax.tree.norm(left) / optax.tree.norm(b)


def torch_peers(run: cu.Run, b: Params) -> tuple[Callable[..., list[Any]], ...]:
    """One Hessian product on a batch; chains one after another by double backward; chains together by vmap."""
    import torch
    from torch.autograd import grad as differentiate
    from torch.func import grad, jvp, vmap

    x, y = torch_images(run.problem.data)
    params = [p.requires_grad_() for p in tensors(run.params)]
    fixed = [p.detach() for p in params]
    start = [leaf / SCALE for leaf in tensors(b)]

    def draw(*shape: int) -> Any:
        return torch.randint(len(y), shape, device=x.device)

    def product(v: list[Any], batch: Any) -> list[Any]:
        grads = differentiate(torch_losses(params, x[batch], y[batch]).mean(), params, create_graph=True)
        return list(differentiate(grads, params, v))

    def loop(depth: int, chains: int, batches: Any = None) -> list[Any]:
        total = [torch.zeros_like(s) for s in start]
        for batch_of in draw(chains, depth, BATCH) if batches is None else batches:
            point = [s.clone() for s in start]
            for batch in batch_of:
                for v, s, h in zip(point, start, product(point, batch), strict=True):
                    v.mul_(1 - DAMPING / SCALE).add_(s).sub_(h, alpha=1 / SCALE)
            for t, v in zip(total, point, strict=True):
                t.add_(v, alpha=1 / chains)
        return total

    def mapped(depth: int, chains: int, batches: Any = None) -> list[Any]:
        def push(v: list[Any], inputs: Any, labels: Any) -> Any:
            return jvp(grad(lambda p: torch_losses(p, inputs, labels).mean()), (fixed,), (v,))[1]

        points = [s.expand(chains, *s.shape).clone() for s in start]
        for batch in (draw(chains, depth, BATCH) if batches is None else batches).unbind(1):
            for v, s, h in zip(points, start, vmap(push)(points, x[batch], y[batch]), strict=True):
                v.mul_(1 - DAMPING / SCALE).add_(s).sub_(h, alpha=1 / SCALE)
        return [v.mean(0) for v in points]

    return product, loop, mapped


def compare(run: cu.Run, b: Params, product: Any, loop: Any, mapped: Any) -> float:
    """The largest relative difference between ours and torch in one product, and in five steps on one fixed batch (the
    libraries draw different ones).

    Raises: RuntimeError if it is not below the tolerance.
    """
    import torch

    some = run.problem.data[jnp.arange(BATCH)]
    weights = jnp.full(BATCH, 1 / BATCH)

    @jax.jit
    def reference(b: Params) -> tuple[Params, Params]:
        def operator(v: Params, key: Key) -> Params:
            return hvp(run.problem, run.params, v, some, weights)

        solver = cu.LiSSA(depth=5, repeats=2, scale=SCALE)
        return operator(b, jax.random.key(0)), solver(damped(operator, DAMPING), b, jax.random.key(0)).x

    image, x = reference(b)
    target = tensors(b)
    batch = torch.arange(BATCH, device=target[0].device)
    batches = batch.expand(2, 5, BATCH)
    worst = max(
        difference(image, product(target, batch)),
        difference(x, loop(5, 2, batches)),
        difference(x, mapped(5, 2, batches)),
    )
    if not worst < TOLERANCE:
        raise RuntimeError(f"ours and torch differ by {worst:.3g}, allowed are {TOLERANCE}")
    return worst


if __name__ == "__main__":
    main()
