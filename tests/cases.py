"""Tiny problems with known answers, in float64."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

import certunl as cu


def ridge(n: int = 24, d: int = 5, seed: int = 0, owners: np.ndarray | None = None, l2: float = 0.0) -> cu.Problem:
    """l_i = (x_i'w − y_i)²/2 (+ l2/2 ‖w‖²): a quadratic, so first-order statistics of one deletion are exact."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=n)
    return cu.Problem(init=_Normal(d), losses=_Squares(l2), data=cu.Dataset(x, y, owners))


@dataclass(frozen=True)
class _Squares:
    """The losses of `ridge`; equal for equal settings, so that programs are compiled once."""

    l2: float

    def __call__(self, params, batch):
        return 0.5 * (batch.x @ params["w"] - batch.y) ** 2 + 0.5 * self.l2 * jnp.sum(params["w"] ** 2)


@dataclass(frozen=True)
class _Normal:
    d: int

    def __call__(self, key):
        return {"w": jax.random.normal(key, (self.d,))}


def classes(n: int = 30, d: int = 4, c: int = 3, seed: int = 0, owners: np.ndarray | None = None) -> cu.Dataset:
    """Three noisy clusters with labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, c, n)
    return cu.Dataset(rng.normal(size=(c, d))[y] + 0.7 * rng.normal(size=(n, d)), y, owners)


def network(n: int = 30, hidden: tuple[int, ...] = (6,), owners: np.ndarray | None = None, **settings) -> cu.Problem:
    """A small float64 softplus network on `classes`."""
    model = cu.models.MLP(hidden=hidden, classes=3, dtype=jnp.float64)
    return cu.classification(model, classes(n, owners=owners), **settings)


class Dropping(nn.Module):
    """A network whose training drops half of its features."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Dropout(0.5, deterministic=not train)(nn.relu(nn.Dense(6, param_dtype=x.dtype)(x)))
        return nn.Dense(3, param_dtype=x.dtype)(x)


def vector(tree) -> np.ndarray:
    """All leaves as one float64 vector."""
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


def gap(a, b) -> float:
    """‖a − b‖/‖b‖ over all leaves."""
    return float(np.linalg.norm(vector(a) - vector(b)) / np.linalg.norm(vector(b)))


def trained(problem: cu.Problem, seed: int = 0, **recipe) -> cu.Run:
    """A run with small defaults."""
    settings = {"learning_rate": 0.1, "epochs": 3, "batch_size": 8} | recipe
    return cu.train(problem, cu.Recipe(**settings), jax.random.key(seed))


KEY = jax.random.key(7)


def claimed(params, *, bound=None, nothing=None, exact=False, noise=0.0, pairs=(), radius=None, method="m", **facts):
    """An update of which a distance `bound` is claimed, or that its own `noise` stands so far apart or proves `pairs`;
    `facts` are the guarantee's."""
    says = None
    if pairs:
        says = cu.Pairs(pairs, noise)
    elif noise:
        says = cu.OwnNoise(bound, noise)
    elif bound is not None:
        says = cu.Distance(bound, doing_nothing=nothing, exact=exact)
    guarantee = cu.Guarantee(says=says, **{"reference": "r"} | facts)
    return cu.Update(params=params, method=method, guarantee=guarantee, radius=radius)
