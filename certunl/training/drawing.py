"""The batches of a training, drawn from a recipe."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key
from certunl.certificates.secret import spent
from certunl.errors import BadInput
from certunl.training.recipe import Recipe
from certunl.training.schedule import Schedule
from certunl.training.secret_batches import members_and_slots
from certunl.training.stages import stage_ends

if TYPE_CHECKING:
    from certunl.training.problem import Problem

__all__ = ["draw", "schedule_of"]


def schedule_of(problem: "Problem", recipe: Recipe, key: Key | bytes) -> Schedule:
    """The schedule that training draws from `key` for the examples of `problem`, in shards if it has some."""
    data, shards = problem.data, problem.shards if problem.sharded else 0
    return problem.numbered(draw(key, recipe, len(data), shards=shards, owners=data.owners))


def draw(key: Key | bytes, recipe: Recipe, examples: int, *, shards: int = 0, owners: Any = None) -> Schedule:
    """A schedule of ceil(n/b) steps an epoch, drawn in one of four ways (`recipe.batches`).

    * "equal": a fresh permutation each epoch, cut into batches whose sizes differ by at most one. The shorter ones are
      padded with weight 0. A small last batch would multiply every bound on its step.
    * "fixed": a fresh permutation each epoch, cut into batches of exactly b. A shorter last batch is padded.
    * "poisson": each example is in each batch independently with probability b/n, and the divisor is b. Removing
      examples commutes with this sampling. So a replay without some examples has the distribution of a fresh run
      without them at the same sampling rate, divisor and number of steps.
    * "secret": Poisson batches of the bits of a secret, as `secret_batches.members_and_slots` draws them.

    With `recipe.slices`, each stage is drawn like this from the parts that it has. The number of steps stays the same.

    Args:
        key: a JAX key, or the bytes of a secret for secret batches.
        shards: S. The units, which are owners or examples without owners, are dealt in random order to S shards, and
            within a shard to its slices. Each shard has batches of its own in every step. 0: there are no shards.
        owners: i32[n], the owner of each example, for shards and slices.
    """
    most = -(-examples // max(shards, 1))
    b = min(recipe.batch_size, most)
    per_epoch = -(-most // b)
    rates = recipe.learning_rate * recipe.decay ** np.arange(per_epoch * recipe.epochs)
    if recipe.batches == "secret":
        if shards:
            raise BadInput("shards are retrained exactly and need no noise; leave noise or shards out")
        seed = key if isinstance(key, bytes) else spent(key)
        indices, weights = members_and_slots(seed, examples, b, len(rates))
        return Schedule(*map(jnp.asarray, (indices, weights, rates, np.full(len(rates), float(b)))))
    assert not isinstance(key, bytes)  # a secret draws secret batches alone
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    if not shards and recipe.slices == 1:
        every = np.arange(examples)
        indices, weights, divisors = _slots(*_batches(generator, recipe, every, b, per_epoch, len(rates)), b)
        return Schedule(*map(jnp.asarray, (indices, weights, rates, divisors)))
    if owners is not None and recipe.batches == "fixed":
        raise BadInput('owners make shards of different sizes, so their batches cannot be "fixed"; use "equal"')
    units = np.arange(examples) if owners is None else np.unique(np.asarray(owners), return_inverse=True)[1].ravel()
    shard_of, slice_of = (place[units] for place in _dealt(generator, units.max() + 1, max(shards, 1), recipe.slices))
    steps = np.diff([0, *stage_ends(recipe.slices, len(rates)), len(rates)])
    each = [_staged(generator, recipe, shard_of == i, slice_of, steps, max(shards, 1)) for i in range(max(shards, 1))]
    width = max(len(batch) for batches, _, _ in each for batch in batches)
    slots = [_slots(*one[:2], width, one[2]) for one in each]
    indices, weights = (np.concatenate([shard[i] for shard in slots], axis=1) for i in (0, 1))
    divisors = np.stack([shard[2] for shard in slots], axis=1) if shards else slots[0][2]
    return Schedule(*map(jnp.asarray, (indices, weights, rates, divisors)))


def _staged(
    generator: np.random.Generator,
    recipe: Recipe,
    shard: np.ndarray,
    slice_of: np.ndarray,
    steps: np.ndarray,
    shards: int,
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """(the examples of each batch, the divisors, an example of the stage for empty slots), for one shard of `shards`.

    Args:
        shard: bool[n], the examples of the shard.
        slice_of: i32[n], the slice of each example within its shard.
        steps: i32[r], the steps of each stage.
    """
    batches, divisors, fill = [], [], []
    for last, count in enumerate(steps):
        members = np.flatnonzero(shard & (slice_of <= last))
        mean = -(-int(np.sum(slice_of <= last)) // shards)
        size = min(recipe.batch_size, mean)
        rows, sums = _batches(generator, recipe, members, min(size, len(members)), -(-mean // size), count)
        batches += rows
        divisors.append(sums)
        fill.append(np.full(count, members[0] if len(members) else 0))
    return batches, np.concatenate(divisors), np.concatenate(fill)


def _dealt(generator: np.random.Generator, units: int, shards: int, slices: int) -> tuple[np.ndarray, np.ndarray]:
    """(the shard of each unit, its slice within the shard), both drawn. Sizes differ by at most one."""
    if slices > 1 and units < slices * shards:
        parts = f"{slices} slices" + (f" of {shards} shards" if shards > 1 else "")
        raise BadInput(f"{parts} need at least {slices * shards} examples or owners, and the data have {units}")
    place, part = np.empty(units, int), np.zeros(units, int)
    order = generator.permutation(units)
    place[order] = np.arange(units) % shards
    for shard in range(shards):
        rows = order[shard::shards]
        part[rows] = np.arange(len(rows)) * slices // max(len(rows), 1)
    return place, part


def _batches(
    generator: np.random.Generator, recipe: Recipe, members: np.ndarray, b: int, per_epoch: int, steps: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """(the examples of each batch, the divisors), for `steps` batches of `members`."""
    n = len(members)
    if not n:  # more shards than units
        return [members] * steps, np.zeros(steps)
    if recipe.batches == "poisson":
        sizes = generator.binomial(n, b / n, size=steps)
        rows = [generator.choice(n, size=size, replace=False, shuffle=False) for size in sizes]
        return [members[row] for row in rows], np.full(steps, b)
    cuts = np.linspace(0, n, per_epoch + 1).round().astype(int)
    if recipe.batches == "fixed":
        cuts = np.minimum(np.arange(per_epoch + 1) * b, n)
    epochs = -(-steps // per_epoch)
    rows = [row for _ in range(epochs) for row in np.split(generator.permutation(n), cuts[1:-1])][:steps]
    return [members[row] for row in rows], np.array([len(row) for row in rows])


def _slots(
    rows: list[np.ndarray], divisors: np.ndarray, width: int = 0, fill: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(indices i32[t, b], weights f[t, b], divisors f[t]), with at least `width` slots. Empty ones hold `fill i32[t]`,
    by default 0."""
    sizes = np.array([len(row) for row in rows])
    weighted = np.arange(max(width, sizes.max())) < sizes[:, None]
    indices = np.zeros(weighted.shape, np.int32) if fill is None else np.tile(fill[:, None], weighted.shape[1])
    indices[weighted] = np.concatenate(rows)
    return indices.astype(np.int32), weighted.astype(float), divisors.astype(float)
