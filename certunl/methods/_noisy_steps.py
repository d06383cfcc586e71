"""Steps on the retained examples, each with fresh noise: what every method with noise of its own shares."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from certunl.base import Key, Params
from certunl.errors import Diverged, positive
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule, draw

__all__ = ["clip", "draw_steps", "steps_recipe", "walk"]

Move = Callable[[Params, Callable[[Params], Params], Any], Params]
"""(w, the batch's mean gradient as a function, limits) -> where the step goes, before its noise."""


def steps_recipe(
    run: Run | None, noise: float, learning_rate: float | None, batch_size: int | None, **settings: Any
) -> Recipe:
    """A method's settings as a recipe, which checks them; what they leave open is the run's (None: only checks)."""
    positive(noise=noise)
    last, size = (1.0, 1) if run is None else (float(run.schedule.rates[-1]), run.recipe.batch_size)
    return Recipe(
        learning_rate=last if learning_rate is None else learning_rate,
        batch_size=size if batch_size is None else batch_size,
        **settings,
    )


def draw_steps(run: Run, retained: jax.Array, recipe: Recipe, key: Key) -> tuple[Schedule, Key]:
    """(batches of the retained examples, the key of the steps' noise). Batches depend on the number of the retained and
    on `key` only."""
    rows = np.flatnonzero(retained)
    batch_key, noise_key = jax.random.split(key)
    schedule = draw(batch_key, recipe, len(rows))
    return replace(schedule, indices=jnp.asarray(rows, "int32")[schedule.indices]), noise_key


def walk(run: Run, start: Params, schedule: Schedule, key: Key, noise: float, move: Move, limits: Any) -> Params:
    """The end of w <- move(w, gradient, limits) + N(0, noise² I) along `schedule`.

    Raises: Diverged where it is not finite.
    """
    params = jax.block_until_ready(_steps(run.problem, start, schedule, key, noise, limits, move))
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        steps = len(schedule)
        raise Diverged(f"parameters became NaN or infinite in {steps} noisy steps of noise {noise:g}; lower noise")
    return params


@partial(jax.jit, static_argnames="move")
def _steps(
    problem: Problem, start: Params, schedule: Schedule, key: Key, noise: Any, limits: Any, move: Move
) -> Params:
    def step(w: Params, slot: tuple[jax.Array, Schedule]) -> tuple[Params, None]:
        t, row = slot
        batch, shares = problem.data[row.indices], row.weights / row.divisors
        moved = move(w, lambda at: jax.grad(problem.risk)(at, batch, shares), limits)
        fresh = optax.tree.random_like(jax.random.fold_in(key, t), w, sampler=jax.random.normal)
        return jax.tree.map(lambda w, m, z: (m + noise * z).astype(w.dtype), w, moved, fresh), None

    return jax.lax.scan(step, start, (jnp.arange(len(schedule)), schedule))[0]


@jax.jit
def clip(tree: Params, limit: Any) -> Params:
    """tree min(1, limit/‖tree‖), 0 where it is not finite."""
    norm = optax.tree.norm(tree)
    factor = jnp.where(norm > limit, limit / norm, 1)
    return jax.tree.map(lambda a: jnp.where(jnp.isfinite(norm), a * factor.astype(a.dtype), 0), tree)
