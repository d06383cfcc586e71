"""The networks of the questions, once for JAX and once for torch."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import certunl as cu


def images(examples: int, *, real: bool) -> tuple[cu.Dataset, str]:
    """The first training images of MNIST if they are there and `real`, else seeded noise around class means."""
    if real:
        try:
            return cu.datasets.load("mnist", train=examples, test=1).train, "mnist"
        except cu.BadInput:
            pass
    generator = np.random.default_rng(0)
    means = generator.normal(size=(10, 28, 28, 1))
    y = generator.integers(10, size=examples).astype(np.int32)
    x = means[y] * 0.5 + generator.normal(size=(examples, 28, 28, 1))
    return cu.Dataset(x.astype(np.float32), y), "synthetic, shaped like mnist, seed 0"


def classifier(hidden: tuple[int, ...], data: cu.Dataset) -> cu.Problem:
    """784-hidden-10 with softplus. Without a hidden layer it is logistic regression."""
    problem = cu.classification(cu.models.MLP(hidden=hidden), data)
    return replace(problem, init=jax.jit(problem.init))


def logistic(data: cu.Dataset) -> cu.Problem:
    """Logistic regression as a user may write it, without a model of the library."""

    def init(_: jax.Array) -> Any:
        return {"bias": jnp.zeros(10), "kernel": jnp.zeros((784, 10))}

    def losses(params: Any, batch: cu.Dataset) -> jax.Array:
        logits = batch.x.reshape(len(batch), -1) @ params["kernel"] + params["bias"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.y)

    return cu.Problem(init=init, losses=losses, data=data)


def convolutional(name: str, data: cu.Dataset) -> cu.Problem:
    """The 21,840-parameter network of Qiao et al.: "cnn" (ours: tanh, average pooling) or "cnn, relu, max" (theirs)."""
    model = cu.models.CNN() if name == "cnn" else cu.models.CNN(activation="relu", pooling="max")
    problem = cu.classification(model, data)
    return replace(problem, init=jax.jit(problem.init))


def product_flops(params: Any, *, primal: bool) -> float:
    """Floating-point operations in the matrix products of one Hessian product, per example.

    Each kernel has two products in the tangent of the forward pass (with the input, and with the input's tangent), two
    in that of the weight gradient and two in that of the input gradient. With `primal` it has one more in each pass
    itself. The input of the first layer has neither tangent nor gradient.
    """
    sizes = [leaf.size for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
    first, later = (4, 9) if primal else (2, 6)
    return 2.0 * (first * sizes[0] + later * sum(sizes[1:]))


def tensors(tree: Any) -> list[Any]:
    """Copies of the leaves of a pytree as torch tensors, on the GPU if torch sees one."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return [torch.from_numpy(np.array(leaf)).to(device) for leaf in jax.tree.leaves(tree)]


def torch_images(data: cu.Dataset) -> tuple[Any, Any]:
    """`data` as tensors f32[n, 784] and i64[n]."""
    x, y = tensors((np.reshape(data.x, (len(data), -1)), data.y))
    return x, y.long()


def torch_losses(params: Any, x: Any, y: Any, model: Any = None) -> Any:
    """Softmax cross-entropy per example of `classifier`'s or `convolutional`'s network; `params` are its leaves, [bias,
    kernel, bias, kernel, ...], `x` images or their rows of pixels."""
    from torch.nn import functional

    act = {None: functional.softplus, "tanh": functional.tanh, "relu": functional.relu}
    act = act.get(getattr(model, "activation", None), functional.softplus)
    layers = list(zip(params[::2], params[1::2], strict=True))
    if isinstance(model, cu.models.CNN):
        pool = functional.avg_pool2d if model.pooling == "average" else functional.max_pool2d
        x = x.permute(0, 3, 1, 2)
        for bias, kernel in layers[:2]:
            x = act(pool(functional.conv2d(x, kernel.permute(3, 2, 0, 1), bias), 2))
        x, layers = x.permute(0, 2, 3, 1), layers[2:]
    x = x.reshape(len(x), -1)
    *hidden, (bias, kernel) = layers
    for inner_bias, inner_kernel in hidden:
        x = act(x @ inner_kernel + inner_bias)
    return functional.cross_entropy(x @ kernel + bias, y, reduction="none")


def difference(ours: Any, peers: Any) -> float:
    """‖ours − peers‖/‖ours‖ over all leaves, `peers` a list of tensors in the order of the leaves."""
    one = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(ours)]).astype(float)
    other = np.concatenate([tensor.detach().cpu().numpy().ravel() for tensor in peers]).astype(float)
    return float(np.linalg.norm(one - other) / np.linalg.norm(one))
