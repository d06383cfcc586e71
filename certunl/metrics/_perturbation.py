"""Slight random perturbations of inputs."""

from dataclasses import replace

import jax
import jax.numpy as jnp

from certunl.base import Key
from certunl.training.problem import Dataset

__all__ = ["DRAWS", "TAU", "continuous", "perturbed"]

TAU = 0.1
"""The standard deviation of a perturbation, relative to that of the inputs; about 0.03 for pixels in [0, 1]."""

DRAWS = 10
"""The number of perturbations of each example."""


def continuous(data: Dataset) -> bool:
    """Whether all inputs are floating-point numbers, which can be perturbed slightly."""
    return all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(data.x))


@jax.jit
def perturbed(data: Dataset, key: Key) -> Dataset:
    """`data` with x + TAU std(x) Z for standard normals Z; std(x) is that of all numbers of one array of the inputs."""
    leaves, structure = jax.tree.flatten(data.x)
    keys = jax.random.split(key, len(leaves))
    noisy = []
    for leaf, own in zip(leaves, keys, strict=True):
        wide = leaf.astype(leaf.dtype if jnp.finfo(leaf.dtype).bits >= 32 else jnp.float32)
        noise = jax.random.normal(own, leaf.shape, wide.dtype)
        noisy.append((wide + TAU * jnp.std(wide) * noise).astype(leaf.dtype))
    return replace(data, x=jax.tree.unflatten(structure, noisy))
