"""Steps on the retained examples with fresh noise in each, shared by all methods that add their own noise."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from certunl.base import Key, Params, width
from certunl.certificates.guarantee import Guarantee
from certunl.certificates.noise import STEP_BITS, cells, grid, integers, step_grid
from certunl.certificates.secret import Secret, digest_of, expanded, jax_key, spent, unchecked
from certunl.certificates.statement import OwnNoise, Pairs
from certunl.errors import BadInput, Diverged, positive
from certunl.training.drawing import draw
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule

__all__ = ["Drawn", "clip", "draw_steps", "steps_recipe", "walk"]

Move = Callable[[Params, Callable[[Params], Params], Any], Params]
"""(w, function from w to the batch's mean gradient, limits) -> the next w, before the noise is added."""


_NUMBERS = 1 << 24
"""Numbers of noise that are drawn at a time, 64 MiB of integers."""

_FROM_MODEL = "the grid of the noise follows from the size of the trained model (set radius, or raise noise)"


def steps_recipe(
    run: Run | None, noise: float, learning_rate: float | None, batch_size: int | None, **settings: Any
) -> Recipe:
    """The settings of a method as a recipe, which checks them. Settings left at None come from `run`.

    Without a run, the recipe only serves as the check.
    """
    positive(noise=noise)
    last, size = (1.0, 1) if run is None else (run.rates[1], run.recipe.batch_size)
    return Recipe(
        learning_rate=last if learning_rate is None else learning_rate,
        batch_size=size if batch_size is None else batch_size,
        **settings,
    )


class Drawn(NamedTuple):
    """The randomness of noisy steps: their batches, the bytes that their noise is expanded from, and its grid."""

    schedule: Schedule
    seed: bytes
    spacing: float
    unchecked: tuple[str, ...]
    digest: str

    def on(self, guarantee: Guarantee) -> Guarantee:
        """The guarantee, with the open questions about this randomness and the digest of its secret."""
        assert isinstance(guarantee.says, OwnNoise | Pairs)
        says = replace(guarantee.says, secret=self.digest)
        return replace(guarantee, says=says, unchecked=(*guarantee.unchecked, *self.unchecked))


def draw_steps(run: Run, retained: jax.Array, recipe: Recipe, noise: float, key: Key | Secret) -> Drawn:
    """Spends a secret on the batches of the retained examples and on the noise. A JAX key is marked as unchecked.

    Batches are drawn as positions in the list of retained examples. The positions depend only on the number of retained
    examples and on `key`. The grid follows from the settings alone, unless parameters without a ball are too large for
    it. It then follows from them as well, which is marked as unchecked.

    Raises: BadInput for parameters of 16 bits, which cannot hold a grid this fine.
    """
    run.need_one_model("noise inside the steps")
    if any(jnp.finfo(leaf.dtype).bits < 32 for leaf in jax.tree.leaves(run.params)):
        raise BadInput("noise inside the steps needs parameters of float32 or float64; this model has 16 bits")
    rows = np.flatnonzero(retained)
    digest, seed, questions = digest_of(key), spent(key), unchecked(key)
    schedule = draw(jax_key(seed, b"batches"), recipe, len(rows))
    schedule = replace(schedule, indices=jnp.asarray(rows, "int32")[schedule.indices])
    schedule = run.problem.numbered(schedule, len(run.schedule))
    reach = recipe.radius
    if reach is None:
        reach = max(float(jnp.abs(leaf).max(initial=0)) for leaf in jax.tree.leaves(run.params))
    spacing = step_grid(noise, 4 * reach)
    if recipe.radius is None and spacing > grid(noise, STEP_BITS):
        questions = (*questions, _FROM_MODEL)
    return Drawn(schedule, expanded(seed, b"steps", 32), spacing, questions, digest)


def walk(run: Run, start: Params, randomness: Drawn, noise: float, move: Move, limits: Any) -> Params:
    """The last w of the steps w <- round_g(move(w, gradient, limits)) + g n along the schedule, from `start`.

    n = rint(noise Z/g) for a standard normal Z, drawn on the host (`certificates.noise.integers`). The centre lies on
    the grid of g = `randomness.spacing`, so a step is the Gaussian mechanism of variance noise², rounded. A centre
    outside the box of `certificates.noise.cells` is moved to the nearest one within. That is a projection, so it brings
    no two centres further apart.

    Raises: Diverged if a step is not finite.
    """
    length, d = len(randomness.schedule), width(start)
    leaves, tree = jax.tree.flatten(start)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    steps = max(1, min(length, _NUMBERS // d))
    grid_of = randomness.spacing, 1 / randomness.spacing  # powers of two: multiplying by either is exact
    w, finite = start, True
    for first in range(0, length, steps):
        place = first + np.arange(steps)
        here = np.minimum(place, length - 1)  # equal blocks share one program; the last one skips its extra steps
        numbers = np.zeros((steps, d), np.int32)
        for step in np.flatnonzero(place < length):
            seed = expanded(randomness.seed, b"step %d" % (first + step), 32)
            numbers[step] = integers(seed, np.zeros(d), float(noise) / randomness.spacing)
        parts = np.split(numbers, ends, axis=1)
        parts = [part.reshape(steps, *leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
        rows = jax.tree.map(lambda a, here=here: a[here], randomness.schedule), place < length, tree.unflatten(parts)
        w, good = jax.block_until_ready(_steps(run.problem, w, rows, grid_of, limits, move))
        finite = finite and bool(good)
    if not finite:
        raise Diverged(f"parameters became NaN or infinite in {length} noisy steps of noise {noise:g}; lower noise")
    return w


@partial(jax.jit, static_argnames="move")
def _steps(
    problem: Problem, start: Params, rows: Any, grid_of: tuple[Any, Any], limits: Any, move: Move
) -> tuple[Params, jax.Array]:
    """(w after the steps `rows`, whether every centre was finite)."""
    box = cells()
    spacing, per_cell = grid_of

    def step(state: tuple[Params, jax.Array], slot: Any) -> tuple[tuple[Params, jax.Array], None]:
        w, finite = state
        row, active, numbers = slot
        batch, shares = problem.batch(row.indices, row.numbers), row.weights / row.divisors
        moved = move(w, lambda at: jax.grad(problem.risk)(at, batch, shares), limits)
        finite &= jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(moved)]).all() | ~active

        def rounded(w: jax.Array, m: jax.Array, n: jax.Array) -> jax.Array:
            centre = jnp.clip(jnp.rint(m * per_cell), -box, box).astype(int)  # int64 under jax_enable_x64, else int32
            return jnp.where(active, (centre + n.astype(centre.dtype)).astype(w.dtype) * spacing, w).astype(w.dtype)

        return (jax.tree.map(rounded, w, moved, numbers), finite), None

    return jax.lax.scan(step, (start, jnp.array(True)), rows)[0]


@jax.jit
def clip(tree: Params, limit: Any) -> Params:
    """tree min(1, limit/‖tree‖), and 0 if the norm is not finite."""
    norm = optax.tree.norm(tree)
    factor = jnp.where(norm > limit, limit / norm, 1)
    return jax.tree.map(lambda a: jnp.where(jnp.isfinite(norm), a * factor.astype(a.dtype), 0), tree)
