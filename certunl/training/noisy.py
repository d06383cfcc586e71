"""Training with noise: each example's gradient is clipped, and every sum of a batch gets Gaussian noise."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key, Params, Progress, reporter, width
from certunl.certificates.noise import STEP_BITS, grid, integers
from certunl.certificates.secret import Secret, digest_of, expanded, spent, unchecked
from certunl.errors import BadInput, Diverged, whole
from certunl.training.clipping import clipped_sum, margin
from certunl.training.loop import advanced, begin
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.schedule import Schedule

__all__ = [
    "NoiseRecord",
    "check_noisy",
    "check_params",
    "microbatch",
    "noise_grid",
    "noisy_gradient",
    "noisy_steps",
    "trained_with_noise",
]

_MICROBATCH, _GRADIENTS = 128, 1 << 26
"""The most examples of a microbatch, and the most numbers in gradients of its examples."""

_TOGETHER = 1 << 19
"""Numbers in the sums of the microbatches that are computed together."""

_NUMBERS = 1 << 24
"""Numbers of noise that are drawn at a time, 64 MiB of integers."""
_SUM = 2.0**30
"""The largest sum of a batch in cells of the grid, so that sum and noise fit into 32 bits."""


@dataclass(frozen=True, eq=False)
class NoiseRecord:
    """What a run keeps of its training with noise. It is as secret as the un-noised data.

    Args:
        states: {step: the leaves of the loop's state before it}. The number of all steps names the end.
        secret: the digest of the secret that drew the noise.
        unchecked: open questions about this noise, in words.
    """

    states: dict[int, list[jax.Array]]
    secret: str
    unchecked: tuple[str, ...] = ()

    # metadata of a pytree: a difference would compile programs again
    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoiseRecord)

    def __hash__(self) -> int:
        return 0

    def arrays(self) -> dict[str, dict[str, jax.Array]]:
        """The states as nested dictionaries."""
        return {str(step): {str(i): leaf for i, leaf in enumerate(leaves)} for step, leaves in self.states.items()}

    def facts(self) -> dict[str, Any]:
        """What is no array, ready for JSON."""
        return {"secret": self.secret, "unchecked": self.unchecked}

    @classmethod
    def of(cls, arrays: dict[str, Any], facts: dict[str, Any]) -> "NoiseRecord":
        """The record of its `arrays` and `facts`."""
        states = {int(s): [jnp.asarray(a[str(i)]) for i in range(len(a))] for s, a in arrays.items()}
        return cls(dict(sorted(states.items())), facts["secret"], tuple(facts["unchecked"]))

    def before(self, step: int) -> int:
        """The last step of which a state is kept, `step` or before it."""
        return max(place for place in self.states if place <= step)


def microbatch(params: Params, slots: int) -> int:
    """The number of examples whose gradients are summed in floating point; sums of microbatches are added as integers.

    It is 128, or fewer for a batch of fewer `slots` and for many parameters.
    """
    return max(1, min(_MICROBATCH, slots, _GRADIENTS // width(params)))


def noise_grid(recipe: Recipe, slots: int) -> float:
    """g, a power of two: 2^-20 of the noise of a sum, or coarser if a batch of `slots` would leave 32 bits."""
    assert recipe.clip_each is not None
    return max(
        grid(recipe.noise * recipe.clip_each, STEP_BITS), 2.0 ** math.ceil(math.log2(slots * recipe.clip_each / _SUM))
    )


def check_params(params: Params) -> None:
    """Raises Diverged for parameters that are not finite. The risks are exact, so they must decide nothing."""
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(params)):
        raise Diverged("parameters became NaN or infinite in a training with noise; lower the learning rate")


def check_noisy(
    problem: Problem, recipe: Recipe, schedule: Schedule, start: Params, checkpoints: Any, states: int
) -> None:
    """Raises BadInput for what training with noise does not cover."""
    whole(least=1, most=len(schedule), states=states)
    if checkpoints is not None:
        raise BadInput("a training with noise keeps no checkpoints, whose files would hold its secret; leave them out")
    if problem.sharded:
        raise BadInput("shards are retrained exactly and need no noise; leave noise or shards out")
    if any(leaf.dtype != jnp.float32 and leaf.dtype != jnp.float64 for leaf in jax.tree.leaves(start)):
        raise BadInput("training with noise needs parameters of float32 or float64")
    weights = np.asarray(schedule.weights)
    if not np.isin(weights, (0, 1)).all():
        raise BadInput("training with noise needs a schedule whose weights are 0 or 1")


def trained_with_noise(
    problem: Problem,
    recipe: Recipe,
    start: Params,
    schedule: Schedule,
    key: Key | Secret,
    states: int = 1,
    progress: Progress | None = None,
) -> tuple[Params, jax.Array, NoiseRecord]:
    """(final parameters, risks f[t], the record), with `states` kept states, evenly over the steps."""
    secret, seed, questions = digest_of(key), spent(key), unchecked(key)
    places = sorted({round(i * len(schedule) / states) for i in range(states)})
    state, risks, record = begin(problem, recipe, start), [], {}
    for first, end in zip(places, [*places[1:], len(schedule)], strict=True):
        record[first] = jax.tree.leaves(state)
        state, part = noisy_steps(problem, recipe, state, schedule, seed, first, end, progress)
        risks.append(part)
    record[len(schedule)] = jax.tree.leaves(state)
    return state[0], jnp.concatenate(risks), NoiseRecord(record, secret, questions)


def noisy_steps(
    problem: Problem,
    recipe: Recipe,
    state: Any,
    schedule: Schedule,
    seed: bytes,
    first: int,
    end: int,
    progress: Progress | None = None,
    purpose: bytes = b"training",
) -> tuple[Any, jax.Array]:
    """(the state after the steps `first` to `end`, their risks). The noise is expanded from `seed` and `purpose`.

    With q_m the sum of the clipped gradients of microbatch m in cells of the grid g, rounded, a step has the gradient

        g (sum_m q_m + n)/|B|,    n = rint(noise clip_each Z/g) for a standard normal Z

    and goes on as any other step. n has exactly the law of a rounded Gaussian (`certificates.noise`). So a step is the
    Gaussian mechanism on the sum of the q_m, with rounding and all that follows as post-processing.
    """
    schedule = problem.numbered(schedule)
    leaves, tree = jax.tree.flatten(state[0])
    ends, d = np.cumsum([leaf.size for leaf in leaves])[:-1], width(state[0])
    cell = noise_grid(recipe, schedule.indices.shape[1])
    block = max(1, min(end - first, _NUMBERS // d))
    risks, report = [], None if progress is None else reporter(progress)
    waiting: Any = None
    for offset in range(first, end, block):
        place = offset + np.arange(block)
        here = np.minimum(place, end - 1)  # equal blocks share one program; the last one skips its extra steps
        numbers = np.zeros((block, d), np.int32)
        for i in np.flatnonzero(place < end):
            of_step = expanded(seed, purpose + b" step %d" % place[i], 32)
            numbers[i] = integers(of_step, np.zeros(d), recipe.noise * float(recipe.clip_each or 0) / cell)
        if waiting is not None:  # the device computed the last block while the host drew this one
            jax.block_until_ready(waiting)
        parts = np.split(numbers, ends, axis=1)
        parts = [part.reshape(block, *leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
        rows = jax.tree.map(lambda a, here=here: a[here], schedule), place < end, tree.unflatten(parts)
        state, part = _steps(problem, recipe, state, rows, cell)
        left = min(block, end - offset)
        risks.append(part[:left])
        waiting = part
        if report is not None:
            report(offset + left, len(schedule), float(part[left - 1]))
    return state, jnp.concatenate(risks)


@partial(jax.jit, static_argnames=("recipe", "cell"))
def _steps(problem: Problem, recipe: Recipe, state: Any, rows: Any, cell: float) -> tuple[Any, jax.Array]:
    """(the state after the steps `rows`, the risk of each batch before its step)."""

    def step(state: Any, slot: Any) -> tuple[Any, jax.Array]:
        row, active, numbers = slot
        gradient, risk = noisy_gradient(problem, recipe, state[0], row, numbers, cell)
        after = advanced(recipe, state, gradient, row.rates)
        return jax.tree.map(lambda old, new: jnp.where(active, new, old), state, after), risk

    return jax.lax.scan(step, state, rows)


def noisy_gradient(
    problem: Problem, recipe: Recipe, params: Params, row: Schedule, numbers: Params, cell: float
) -> tuple[Params, jax.Array]:
    """(the noisy mean gradient of a batch, its risk without noise)."""
    assert recipe.clip_each is not None
    limit = recipe.clip_each / (1 + margin(params))
    slots = row.indices.shape[0]
    size = microbatch(params, slots)
    count = max(1, min(4, -(-slots // size), _TOGETHER // width(params)))  # microbatches at a time
    more = -slots % (size * count)
    indices, weights = (jnp.pad(a, (0, more)).reshape(-1, size * count) for a in (row.indices, row.weights))

    def one(carry: tuple[Params, jax.Array], part: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        total, risk = carry
        batch = problem.batch(part[0], row.numbers)
        summed, of_part = clipped_sum(problem, params, batch, part[1], limit, count)
        cells = jax.tree.map(lambda a: jnp.sum(jnp.rint(a / cell).astype(jnp.int32), axis=0, dtype=jnp.int32), summed)
        return (jax.tree.map(jnp.add, total, cells), risk + of_part), None

    kind = jax.eval_shape(problem.per_example, params, problem.batch(indices[0], row.numbers)).dtype
    zero = jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.int32), params), jnp.zeros((), kind)
    (total, risk), _ = jax.lax.scan(one, zero, (indices, weights))

    share = jnp.where(row.divisors != 0, 1 / jnp.where(row.divisors != 0, row.divisors, 1), 0)

    def mean(cells: jax.Array, noise: jax.Array, p: jax.Array) -> jax.Array:
        return ((cells + noise).astype(p.dtype) * cell * share).astype(p.dtype)

    return jax.tree.map(mean, total, numbers, params), risk * share
