"""How long do conjugate gradients on all the data take, beside those of dattri?

python benchmarks/conjugate_gradients.py [--save] [--small]
"""

from collections.abc import Callable, Sequence
from functools import partial
from importlib import util
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
from harness import arguments, measure, torch_found
from problems import classifier, images, product_flops, torch_images, torch_losses

import certunl as cu
from certunl.base import Operator, Params
from certunl.training.curvature import hvp

SIZES = (((), 100), ((), 10_000), ((32, 32), 2000), ((32, 32), 10_000))
FULL = tuple({"hidden": hidden, "examples": examples} for hidden, examples in SIZES)
SMALL = ({"hidden": (), "examples": 40},)
DAMPING, PRODUCTS, TOLERANCE = 1.0, 20, 1e-3


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    words = arguments(__doc__, argv)
    return [ask(save=words.save, small=words.small, **setting) for setting in (SMALL if words.small else FULL)]


def ask(*, hidden: tuple[int, ...], examples: int, save: bool, small: bool) -> dict[str, Any]:
    """One line of JSON for (H + damping I)⁻¹ b, with as many products by ours as by dattri."""
    data, source = images(examples, real=not small)
    data = jax.tree.map(jnp.asarray, data)
    problem = classifier(hidden, data)
    params = cu.train(problem, cu.Recipe(learning_rate=0.05, epochs=1, batch_size=100), jax.random.key(0)).params
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    b = jax.random.normal(jax.random.key(1), flat.shape, flat.dtype) / flat.size**0.5
    settings: dict[str, Any] = {
        "model": "-".join(map(str, (784, *hidden, 10))),
        "parameters": flat.size,
        "data": source,
        "examples": examples,
        "damping": DAMPING,
        "products": PRODUCTS,
        "seed": 0,
    }
    peers: dict[str, Callable[[], Any]] = {}
    solve = partial(ours, problem, params, unravel(b))

    def check(x: Params) -> dict[str, float]:
        error = float(residual(problem, params, x, unravel(b)))
        return {"residual": error} | ({"relative_difference": _apart(x, peers)} if peers else {})

    if torch_found() and util.find_spec("dattri"):
        peers = {f"torch, dattri {mode}": dattri(data, params, np.asarray(b), mode) for mode in ("rev-rev", "rev-fwd")}
    return measure(
        question="conjugate_gradients",
        settings=settings,
        ours=solve,
        peers=peers,
        check=check,
        flops=(PRODUCTS + 1) * examples * product_flops(params, primal=True),
        runs=2 if small else 5,
        save=save,
    )


def _operator(problem: cu.Problem, params: Params) -> Operator:
    weights = jnp.full(len(problem.data), 1 / len(problem.data))
    return lambda v, _: optax.tree.add_scale(hvp(problem, params, v, problem.data, weights), DAMPING, v)


@jax.jit
def ours(problem: cu.Problem, params: Params, b: Params) -> Params:
    solver = cu.CG(tol=1e-12, max_steps=PRODUCTS)
    return solver(_operator(problem, params), b, jax.random.key(0)).x


@jax.jit
def residual(problem: cu.Problem, params: Params, x: Params, b: Params) -> jax.Array:
    error = optax.tree.sub(_operator(problem, params)(x, jax.random.key(0)), b)
    return optax.tree.norm(error) / optax.tree.norm(b)


def dattri(data: cu.Dataset, params: Params, b: np.ndarray, mode: str) -> Callable[[], Any]:
    """The solution of dattri (github.com/TRAIS-Lab/dattri), which starts at b and so takes one product more."""
    import torch
    from dattri.func.hessian import ihvp_at_x_cg

    x, y = torch_images(data)
    leaves = [torch.from_numpy(np.array(leaf)) for leaf in jax.tree.leaves(params)]
    sizes, shapes = [leaf.numel() for leaf in leaves], [leaf.shape for leaf in leaves]
    flat, right = torch.cat([leaf.ravel() for leaf in leaves]), torch.from_numpy(b.copy())

    def risk(vector: Any) -> Any:
        parts = [part.reshape(shape) for part, shape in zip(vector.split(sizes), shapes, strict=True)]
        return torch_losses(parts, x, y).mean()

    def solve() -> Any:
        return ihvp_at_x_cg(risk, flat, max_iter=PRODUCTS, mode=mode, regularization=DAMPING)(right.clone())

    return solve


def _apart(x: Params, peers: dict[str, Callable[[], Any]]) -> float:
    """The largest relative difference from dattri. Raises: RuntimeError unless it is below the tolerance."""
    one = np.asarray(jax.flatten_util.ravel_pytree(x)[0])
    others = [np.asarray(solve().detach()).ravel() for solve in peers.values()]
    worst = max(float(np.linalg.norm(one - other) / np.linalg.norm(one)) for other in others)
    if not worst < TOLERANCE:
        raise RuntimeError(f"ours and dattri differ by {worst:.3g}, allowed are {TOLERANCE}")
    return worst


if __name__ == "__main__":
    main()
