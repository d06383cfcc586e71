"""The stochastic inverse-Hessian recursion (LiSSA; Agarwal, Bullins, Hazan 2017)."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from certunl.base import Key, Operator, Params
from certunl.errors import Diverged, one_of, plain_numbers, positive, whole
from certunl.solvers._solver import Solution, Solver
from certunl.training.curvature import extreme_eigenvalues, wide, widened
from certunl.training.mesh import manual_axis

__all__ = ["LiSSA"]

_PROBES, _PROBE_STEPS = 4, 12
"""Number of mini-batches whose extreme eigenvalues are measured before the recursion; Lanczos products on each."""
_DRAWN = 256
"""The most steps whose samples are drawn together, before the first of them. More would cost memory."""
_MARGIN = 1.5
"""The automatic scale divided by the largest measured eigenvalue. Other mini-batches may have larger eigenvalues."""


@dataclass(frozen=True, kw_only=True)
class LiSSA(Solver):
    """The mean of `repeats` chains x_0 = b/scale, x_t = x_{t-1} + (b − A_t x_{t-1})/scale of `depth` steps each.

    A_t are fresh samples of A on mini-batches. On an eigenvector of E[A_t] with eigenvalue m the mean is
    (1 − (1 − m/scale)^(depth+1))/m. Too small a depth biases the result towards b (depth+1)/scale. This is not an
    error; it shows in the true residual.

    Inside `use_mesh` each device runs an equal share of the chains, and they meet once, at the end. XLA runs these
    small products on one CPU core, so two CPU devices (JAX_NUM_CPU_DEVICES=2) are faster on two cores.

    Args:
        depth: steps of each chain. More steps reduce the bias.
        repeats: number of chains that are averaged. More chains reduce the variance.
        scale: divisor of each step. It must exceed half the largest eigenvalue of every mini-batch. A larger scale
            needs more depth. Default: 1.5 times the largest eigenvalue measured on a few mini-batches.
        batch_size: examples in each mini-batch.
        chains: "vmap" advances the chains side by side in one program, "map" one after another. Under vmap a
            convolution becomes a grouped one, which is slower on any device (on two CPU cores 1.4 against 0.9 ms a
            step). "auto" maps if the operator contains a convolution.

    Raises (in `verify`): Diverged if the largest measured eigenvalue exceeds 2·scale, or if the iterate outgrew
    (depth+1) ‖b‖/scale, its largest norm while ‖I − A_t/scale‖ <= 1.
    Source: Zhang et al. 2024, Algorithm 1 and Proposition 3.5.
    Differs: the recursion starts at b/scale, so nothing is divided at the end; the extreme eigenvalues of
    mini-batches are measured.
    """

    depth: int = 1000
    repeats: int = 10
    scale: float | None = None
    batch_size: int = 10
    chains: str = "auto"
    axis: ClassVar[str] = "chains"

    def __post_init__(self) -> None:
        plain_numbers(self)
        whole(depth=self.depth, repeats=self.repeats, batch_size=self.batch_size)
        positive("to measure it", scale=self.scale)
        one_of(("auto", "vmap", "map"), chains=self.chains)

    def __call__(self, operator: Operator, b: Params, key: Key) -> Solution:
        narrow = b
        parts, b = widened(operator, b), wide(b)
        probe_key, chain_key = jax.random.split(key)
        probes = jax.random.split(probe_key, _PROBES)
        lows, highs = jax.lax.map(lambda k: extreme_eigenvalues(parts, b, k, _PROBE_STEPS), probes)
        lowest, highest = jnp.min(lows), jnp.max(jnp.maximum(highs, -lows))
        scale = jnp.where(highest > 0, _MARGIN * highest, 1.0) if self.scale is None else jnp.asarray(self.scale)
        scale = scale.astype(highest.dtype)
        start = jax.tree.map(lambda leaf: leaf / scale.astype(leaf.dtype), b)

        def advance(x: Params, sample: Any) -> tuple[Params, None]:
            image = parts.at(x, sample)
            return jax.tree.map(lambda xi, bi, ai: xi + bi - ai / scale.astype(xi.dtype), x, start, image), None

        mapped = self.chains == "map" or (self.chains == "auto" and _convolves(parts, b, key))
        unroll = 1 if mapped else 2  # 15% faster for small products on CPU; twice the activations for large ones

        def chain(k: Key) -> Params:
            def piece(x: Params, keys: Key) -> tuple[Params, None]:
                return jax.lax.scan(advance, x, jax.vmap(parts.draw)(keys), unroll=unroll)[0], None

            keys = jax.random.split(k, self.depth)
            if (steps := _piece(self.depth)) == self.depth:
                return piece(start, keys)[0]
            return jax.lax.scan(piece, start, keys.reshape(-1, steps))[0]

        advance_all = partial(_one_by_one if mapped else _side_by_side, chain)
        keys = jax.random.split(chain_key, self.repeats)
        mean, largest = _spread(advance_all, keys)
        size = optax.tree.norm(start)
        growth = jnp.where(size > 0, largest / jnp.where(size > 0, (self.depth + 1) * size, 1), 0)
        mean = jax.tree.map(lambda a, like: a.astype(like.dtype), mean, narrow)
        unknown = jnp.full_like(growth, jnp.inf)
        return Solution(mean, unknown, jnp.asarray(self.depth), lowest, highest, growth, scale)

    def verify(self, solution: Solution) -> None:
        top, growth, scale = float(solution.highest), float(solution.growth), float(solution.scale)
        if not top <= 2 * scale:
            raise Diverged(f"top eigenvalue about {top:.4g} exceeds 2·scale = {2 * scale:.4g}; raise scale or damping")
        if not growth <= 1 + 1e-3:
            raise Diverged(
                f"the recursion grew: its final norm is {growth:.4g} times the largest that a contraction allows; "
                f"mini-batches had eigenvalues from {float(solution.lowest):.4g} to {top:.4g}, 2·scale is "
                f'{2 * scale:.4g}; raise damping or scale, or use operator="ggn"'
            )

    @staticmethod
    def depth_for(gap: float, scale: float, tol: float = 0.01) -> float:
        """The depth at which the relative bias (1 − gap/scale)^(depth+1) is `tol`. It is infinite unless gap > 0."""
        if not gap > 0:
            return math.inf
        return 0.0 if gap >= scale else max(math.ceil(math.log(tol) / math.log1p(-gap / scale)) - 1.0, 0.0)


def _piece(depth: int) -> int:
    """The number of steps whose samples are drawn together: the largest divisor of `depth` up to `_DRAWN`."""
    return next(steps for steps in range(min(depth, _DRAWN), 0, -1) if depth % steps == 0)


def _side_by_side(chain: Any, keys: jax.Array, counts: jax.Array) -> tuple[Params, jax.Array]:
    """(sum of the chains that count, their largest norm), computed with all chains at once."""
    ends = jax.vmap(chain)(keys)
    total = jax.tree.map(lambda a: jnp.tensordot(counts.astype(a.dtype), a, 1, precision="highest"), ends)
    return total, jnp.max(jax.vmap(optax.tree.norm)(ends) * counts)


def _one_by_one(chain: Any, keys: jax.Array, counts: jax.Array) -> tuple[Params, jax.Array]:
    """(sum of the chains that count, their largest norm), one chain after another. Memory holds one and the sum."""

    def add(state: tuple[Params, jax.Array], row: tuple[Key, jax.Array]) -> tuple[tuple[Params, jax.Array], None]:
        end = optax.tree.scale(row[1], chain(row[0]))
        return (optax.tree.add(state[0], end), jnp.maximum(state[1], optax.tree.norm(end))), None

    shapes = jax.eval_shape(chain, keys[0])
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    return jax.lax.scan(add, (zero, jnp.zeros_like(optax.tree.norm(zero))), (keys, counts))[0]


def _spread(advance_all: Any, keys: jax.Array) -> tuple[Params, jax.Array]:
    """(mean of the chains, their largest norm), in equal shares on the devices of the program.

    The results are combined once, at the end. Chains that fill up the last share do not count.
    """
    axis, devices = manual_axis()
    chains = len(keys)
    each = -(-chains // devices)
    own = jnp.arange(each) if devices == 1 else each * jax.lax.axis_index(axis) + jnp.arange(each)
    total, largest = advance_all(keys[own % chains], (own < chains).astype(jnp.float32))
    if devices > 1:
        total, largest = jax.lax.psum(total, axis), jax.lax.pmax(largest, axis)
    return optax.tree.scale(1 / chains, total), largest


def _convolves(operator: Operator, like: Params, key: Key) -> bool:
    """Whether the operator's program contains a convolution, XLA's or the CPU version of `models`."""
    program = str(jax.make_jaxpr(operator)(like, key))
    return "conv_general_dilated" in program or "_convolve" in program
