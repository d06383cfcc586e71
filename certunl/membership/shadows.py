"""What an attacker holds: candidates, half of them forgotten, and shadow models trained on random halves of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key, Params, Progress, nth, stacked
from certunl.certificates.update import Unlearner
from certunl.errors import BadInput
from certunl.membership.target import Shadows
from certunl.training.ensemble import ensemble
from certunl.training.problem import Dataset
from certunl.training.run import Run
from certunl.training.schedule import Schedule

__all__ = ["Suspects", "Trained", "suspects", "train_shadows"]


@dataclass(frozen=True, kw_only=True)
class Suspects:
    """`candidates`, first the `inside` (ids of forgotten examples), then as many of the test set, of the same classes;
    `member bool[m]` says which."""

    candidates: Dataset
    inside: np.ndarray
    member: np.ndarray


def suspects(run: Run, request: np.ndarray, test: Dataset, key: Key) -> Suspects:
    """Draws as many test examples of each class as `request` has of it; where the test set has too few of one, as many
    of the request as it has. Without classes any test examples will do.

    Members that were asked for by their loss or their wrong labels differ from strangers of their classes without any
    learning: there only attacks with shadow models that forgot (U-LiRA) compare like with like.
    """
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
    return Suspects(
        candidates=_joined(run.problem.data[inside], test[outside]),
        inside=inside,
        member=np.arange(2 * len(inside)) < len(inside),
    )


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Shadow models: `run` of all data and candidates, `present bool[s, n]`, `starts` and `params` stacked; the
    candidates' ids there, and those of the rest of the request, which every model has seen."""

    run: Run
    suspects: Suspects
    present: np.ndarray
    starts: Params
    params: Params
    ids: np.ndarray
    others: np.ndarray

    def seen(self, params: Params | None = None) -> Shadows:
        """What the models (default: as trained) give the candidates."""
        models = self.params if params is None else params
        given = [self.run.problem.scores(nth(models, i), self.suspects.candidates) for i in range(len(self.present))]
        return Shadows(
            inside=jnp.asarray(self.present[:, self.ids]),
            margins=jnp.stack([scores.margins() for scores in given]),
            likelihoods=jnp.stack([scores.likelihoods() for scores in given]),
        )

    def forgotten(self, method: Unlearner, key: Key) -> Params:
        """The models after each forgot, by `method`, the candidates it saw and the rest of the request; stacked."""
        after = []
        for i, one in enumerate(self.runs()):
            request = np.union1d(self.ids[self.present[i, self.ids]], self.others)
            after.append(method.forget(one, None, request, jax.random.fold_in(key, i)).projected())
        return stacked(after)

    def runs(self) -> Sequence[Run]:
        """Each model as a run of its own."""
        return [
            replace(
                self.run,
                start=nth(self.starts, i),
                params=nth(self.params, i),
                present=jnp.asarray(here),
                schedule=self.run.schedule.masked(~jnp.asarray(here)[self.run.schedule.indices]),
            )
            for i, here in enumerate(self.present)
        ]


def train_shadows(
    run: Run, request: np.ndarray, held: Suspects, key: Key, count: int, *, progress: Progress | None = None
) -> Trained:
    """`count` (even) models trained together by the run's recipe along its own schedule: on everyone the run has but
    the members among the candidates, and on half of the members and half of the others; models 2j and 2j + 1 on the two
    halves. So each has as many examples as the run, of the same classes. Initial parameters are each model's own; each
    stranger stands where one of the members stands, beside it."""
    n, m = len(run.present), len(held.inside)
    data = _joined(run.problem.data, held.candidates[np.arange(m, 2 * m)])
    ids = np.append(held.inside, np.arange(n, n + m))
    rest = np.append(np.asarray(run.present), np.zeros(m, bool))
    rest[held.inside] = False
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    present = np.repeat(rest[None], count, axis=0)
    for j in range(count // 2):
        half = (m + j % 2) // 2  # of the members; m − half of the others
        chosen = np.append(generator.permutation(m)[:half], m + generator.permutation(m)[: m - half])
        present[2 * j, ids[chosen]] = True
        present[2 * j + 1, ids[np.setdiff1d(np.arange(2 * m), chosen)]] = True
    starts = jax.vmap(run.problem.init)(jax.random.split(key, count))
    pool = replace(
        run,
        problem=replace(run.problem, data=data),
        schedule=_beside(run.schedule, held.inside, n),
        present=jnp.ones(len(data), bool),
    )
    params = ensemble(pool, present, starts=starts, progress=progress)
    others = np.setdiff1d(request, held.inside)
    return Trained(run=pool, suspects=held, present=present, starts=starts, params=params, ids=ids, others=others)


def _beside(schedule: Schedule, inside: np.ndarray, first: int) -> Schedule:
    """The schedule with example `first` + j in every batch that holds `inside[j]`, at its weight; divisors stay, for
    half of both are there."""
    indices, weights = np.asarray(schedule.indices), np.asarray(schedule.weights)
    there = np.isin(indices, inside) & (weights != 0)
    more = np.zeros((len(indices), int(there.sum(axis=1).max(initial=0))), indices.dtype)
    theirs = np.zeros(more.shape, weights.dtype)
    filled = np.arange(more.shape[1]) < there.sum(axis=1)[:, None]
    more[filled] = first + np.searchsorted(inside, indices[there])
    theirs[filled] = weights[there]
    wide = np.concatenate([indices, more], axis=1), np.concatenate([weights, theirs], axis=1)
    return replace(schedule, indices=jnp.asarray(wide[0]), weights=jnp.asarray(wide[1]))


def _joined(a: Dataset, b: Dataset) -> Dataset:
    """Strangers have owners of their own where there are owners."""
    x, y = (jnp.concatenate([jnp.asarray(p), jnp.asarray(q, p.dtype)]) for p, q in ((a.x, b.x), (a.y, b.y)))
    owners = None
    if a.owners is not None:
        owners = jnp.concatenate([jnp.asarray(a.owners), jnp.max(jnp.asarray(a.owners)) + 1 + jnp.arange(len(b))])
    return Dataset(x, y, owners, unchecked=a.unchecked)
