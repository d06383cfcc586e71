"""What an attacker holds: candidates, half of them forgotten, and shadow models trained on random halves of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.ensemble import ensemble
from certunl.problem import Dataset
from certunl.schedule import draw
from certunl.training import Run
from certunl.typing import BadInput, Key, Params, Progress, Shadows, Unlearner

__all__ = ["Suspects", "Trained", "suspects", "train_shadows"]

_POPULATION = 1000
"""How many examples that nobody saw are compared with at most."""


@dataclass(frozen=True, kw_only=True)
class Suspects:
    """`candidates`, first the `inside` (ids of forgotten examples), then as many of the test set, of the same classes;
    `member bool[m]` says which; `population`: other examples of the test set."""

    candidates: Dataset
    inside: np.ndarray
    member: np.ndarray
    population: Dataset


def suspects(run: Run, request: np.ndarray, test: Dataset, key: Key) -> Suspects:
    """Draws as many test examples of each class as `request` has of it; where the test set has too few of one, as many
    of the request as it has. Without classes any test examples will do."""
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    classes = np.issubdtype(np.asarray(test.y).dtype, np.integer)
    mine = np.asarray(run.problem.data.y)[request] if classes else np.zeros(len(request), int)
    theirs = np.asarray(test.y) if classes else np.zeros(len(test), int)
    inside, outside = [], []
    for label in np.unique(mine):
        pairs = [generator.permutation(np.flatnonzero(y == label)) for y in (mine, theirs)]
        size = min(map(len, pairs))
        inside.append(request[pairs[0][:size]])
        outside.append(pairs[1][:size])
    inside, outside = np.sort(np.concatenate(inside)), np.sort(np.concatenate(outside))
    if len(inside) < 2:
        raise BadInput(f"an attack needs two forgotten and two test examples of their classes, got {len(inside)}")
    others = generator.permutation(np.setdiff1d(np.arange(len(test)), outside))[:_POPULATION]
    return Suspects(
        candidates=_joined(run.problem.data[inside], test[outside]),
        inside=inside,
        member=np.arange(2 * len(inside)) < len(inside),
        population=test[np.sort(others)],
    )


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Shadow models: `run` of all data and candidates, `present bool[s, n]`, `starts` and `params` stacked, the
    candidates' ids there."""

    run: Run
    suspects: Suspects
    present: np.ndarray
    starts: Params
    params: Params
    ids: np.ndarray

    def seen(self, params: Params | None = None) -> Shadows:
        """What the models (default: as trained) give the candidates and the population."""
        problem, models = self.run.problem, self.params if params is None else params
        given = [
            [problem.scores(jax.tree.map(lambda leaf, i=i: leaf[i], models), data) for i in range(len(self.present))]
            for data in (self.suspects.candidates, self.suspects.population)
        ]
        return Shadows(
            inside=jnp.asarray(self.present[:, self.ids]),
            margins=jnp.stack([scores.margins() for scores in given[0]]),
            losses=jnp.stack([scores.losses for scores in given[0]]),
            population=jnp.stack([scores.losses for scores in given[1]]),
        )

    def forgotten(self, method: Unlearner, key: Key) -> Params:
        """The models after each forgot, by `method`, the candidates that it saw; stacked."""
        after = []
        for i, one in enumerate(self.runs()):
            request = self.ids[self.present[i, self.ids]]
            after.append(method.forget(one, None, request, jax.random.fold_in(key, i)).projected())
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *after)

    def runs(self) -> Sequence[Run]:
        """Each model as a run of its own, divisors those of who was there."""
        return [
            replace(
                self.run,
                start=jax.tree.map(lambda leaf, i=i: leaf[i], self.starts),
                params=jax.tree.map(lambda leaf, i=i: leaf[i], self.params),
                present=jnp.asarray(here),
                schedule=_own(self.run, here),
            )
            for i, here in enumerate(self.present)
        ]


def train_shadows(
    run: Run, request: np.ndarray, held: Suspects, key: Key, count: int, *, progress: Progress | None = None
) -> Trained:
    """`count` (even) models trained together by the run's recipe: on everyone the run retains without `request`, and on
    half of the members and half of the others among the candidates; models 2j and 2j + 1 on the two halves. Initial
    parameters are each model's own, the batches shared."""
    if count < 4 or count % 2:
        raise BadInput(f"shadows must be an even number of at least 4, got {count!r}")
    n, m = len(run.present), len(held.inside)
    data = _joined(run.problem.data, held.candidates[np.arange(m, 2 * m)])
    ids = np.append(held.inside, np.arange(n, n + m))
    rest = np.append(np.asarray(run.retained(request)), np.zeros(m, bool))
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    present = np.repeat(rest[None], count, axis=0)
    for j in range(count // 2):
        half = (m + j % 2) // 2  # of the members; m − half of the others
        chosen = np.append(generator.permutation(m)[:half], m + generator.permutation(m)[: m - half])
        present[2 * j, ids[chosen]] = True
        present[2 * j + 1, ids[np.setdiff1d(np.arange(2 * m), chosen)]] = True
    larger = len(data) / max(1, int(present[0].sum()))
    recipe = replace(run.recipe, batch_size=round(run.recipe.batch_size * larger))
    starts = jax.vmap(run.problem.init)(jax.random.split(jax.random.fold_in(key, 0), count))
    schedule = draw(jax.random.fold_in(key, 1), recipe, len(data))
    pool = replace(
        run,
        problem=replace(run.problem, data=data),
        start=run.start,
        schedule=schedule,
        present=jnp.ones(len(data), bool),
    )
    params = ensemble(_counting(pool), present, starts=starts, progress=progress)
    return Trained(run=pool, suspects=held, present=present, starts=starts, params=params, ids=ids)


def _counting(run: Run) -> Run:
    """The run dividing by who is there, as a model trained on them alone would."""
    if run.recipe.batches == "poisson":  # whose divisor is the expected size, whoever is there
        divisors = jnp.full_like(run.schedule.divisors, run.recipe.batch_size)
        return replace(run, schedule=replace(run.schedule, divisors=divisors))
    return replace(run, recipe=replace(run.recipe, denominator="retained"))


def _own(run: Run, here: np.ndarray) -> Any:
    """The schedule of a model trained on `here` alone."""
    schedule = run.schedule.masked(~jnp.asarray(here)[run.schedule.indices])
    if run.recipe.batches == "poisson":
        return replace(schedule, divisors=jnp.full_like(schedule.divisors, run.recipe.batch_size))
    return replace(schedule, divisors=jnp.sum(schedule.weights != 0, axis=1).astype(schedule.divisors.dtype))


def _joined(a: Dataset, b: Dataset) -> Dataset:
    x, y = (jnp.concatenate([jnp.asarray(p), jnp.asarray(q, p.dtype)]) for p, q in ((a.x, b.x), (a.y, b.y)))
    return Dataset(x, y, unchecked=a.unchecked)
