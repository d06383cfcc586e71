"""Training with noise: each example's gradient is clipped, and every sum of a batch gets Gaussian noise."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Params, Progress, reporter, width
from certunl.certificates.noise import integers
from certunl.certificates.secret import expanded
from certunl.errors import BadInput, Diverged, whole
from certunl.training.loop import advanced, begin
from certunl.training.noisy_gradient import noise_grid, noisy_gradient
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.schedule import Schedule
from certunl.training.states import nested, unnested

__all__ = ["NoiseRecord", "check_noisy", "check_params", "noisy_steps", "trained_with_noise"]

_STEPS, _NUMBERS = 8, 1 << 24
"""The most steps whose noise is drawn while the device computes the steps before, and the most numbers, 64 MiB."""


@dataclass(frozen=True, eq=False)
class NoiseRecord:
    """What a run keeps of its training with noise. It is as secret as the un-noised data.

    Args:
        states: {step: the leaves of the loop's state before it}. The number of all steps names the end.
        secret: the digest of the secret that drew the noise.
        unchecked: open questions about this noise, in words.
        batches: `sealing.batches_of` batches that this secret drew; empty for those from elsewhere.
        device: the kind of device that trained; empty for a CPU.
    """

    states: dict[int, list[jax.Array]]
    secret: str
    unchecked: tuple[str, ...] = ()
    batches: str = ""
    device: str = ""

    # metadata of a pytree: a difference would compile programs again
    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoiseRecord)

    def __hash__(self) -> int:
        return 0

    def arrays(self) -> dict[str, dict[str, jax.Array]]:
        """The states as nested dictionaries."""
        return nested(self.states)

    def facts(self) -> dict[str, Any]:
        """What is no array, ready for JSON. `batches` and `device` are left out if they are empty."""
        more = {"batches": self.batches, "device": self.device}
        return {
            "secret": self.secret,
            "unchecked": self.unchecked,
            **{name: word for name, word in more.items() if word},
        }

    @classmethod
    def of(cls, arrays: dict[str, Any], facts: dict[str, Any]) -> "NoiseRecord":
        """The record of its `arrays` and `facts`."""
        return cls(
            unnested(arrays),
            facts["secret"],
            tuple(facts["unchecked"]),
            facts.get("batches", ""),
            facts.get("device", ""),
        )

    def before(self, step: int) -> int:
        """The last step of which a state is kept, `step` or before it."""
        return max(place for place in self.states if place <= step)


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
    seed: bytes,
    states: int = 1,
    progress: Progress | None = None,
) -> tuple[Params, jax.Array, dict[int, list[jax.Array]]]:
    """(final parameters, risks f[t], `states` states by their steps, evenly over the training, and that of the end)."""
    places = sorted({round(i * len(schedule) / states) for i in range(states)})
    state, risks, record = begin(problem, recipe, start), [], {}
    for first, end in zip(places, [*places[1:], len(schedule)], strict=True):
        record[first] = jax.tree.leaves(state)
        state, part = noisy_steps(problem, recipe, state, schedule, seed, first, end, progress)
        risks.append(part)
    record[len(schedule)] = jax.tree.leaves(state)
    return state[0], jnp.concatenate(risks), record


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
    blocks = -(-(end - first) // max(1, min(_STEPS, _NUMBERS // d)))
    block = -(-(end - first) // blocks)
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
