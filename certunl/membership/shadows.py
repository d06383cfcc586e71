"""Candidates, half of them forgotten examples, and shadow models trained on random halves of the candidates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key, Params, Progress, nth, stacked
from certunl.certificates.update import Unlearner
from certunl.errors import BadInput
from certunl.membership.target import Shadows
from certunl.training.chunks import Keeper
from certunl.training.dataset import Dataset, end_to_end, rowwise
from certunl.training.ensemble import ensemble
from certunl.training.run import Run
from certunl.training.schedule import Schedule

__all__ = ["Suspects", "Trained", "suspects", "train_shadows"]


@dataclass(frozen=True, kw_only=True)
class Suspects:
    """Forgotten examples and as many test examples of the same classes.

    Args:
        candidates: m examples, first the forgotten ones, then the test examples.
        inside: ids i32[m/2] of the forgotten examples.
        member: bool[m], whether a candidate is a forgotten example.
    """

    candidates: Dataset
    inside: np.ndarray
    member: np.ndarray


def suspects(run: Run, request: np.ndarray, test: Dataset, key: Key) -> Suspects:
    """For each class, as many examples of `request` as of the test set, drawn from `key`.

    The number is that of the smaller of both groups. Without classes all examples count as one class. Members that were
    requested for their loss or their wrong labels differ from test examples of the same classes even without training
    on them. For such requests only attacks with shadow models that forgot (U-LiRA) make a fair comparison.
    Raises: BadInput for fewer than two of each.
    """
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    classes = run.problem.kind in ("classification", "binary")
    mine = np.asarray(run.problem.data.y)[request].reshape(-1) if classes else np.zeros(len(request), int)
    theirs = np.asarray(test.y).reshape(-1) if classes else np.zeros(len(test), int)
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
    """The shadow models.

    Args:
        run: the run on the training data followed by the test candidates.
        suspects: the candidates.
        present: bool[s, n], the examples of that data on which each model is trained.
        starts, params: initial and trained parameters, stacked with the leading axis s.
        ids: ids of the m candidates in that data.
        others: ids of the rest of the request, on which every model is trained.
    """

    run: Run
    suspects: Suspects
    present: np.ndarray
    starts: Params
    params: Params
    ids: np.ndarray
    others: np.ndarray

    def seen(self, params: Params | None = None) -> Shadows:
        """The results of the models on the candidates. `params` defaults to the trained parameters."""
        models = self.params if params is None else params
        results = [self.run.problem.scores(nth(models, i), self.suspects.candidates) for i in range(len(self.present))]
        return Shadows(
            inside=jnp.asarray(self.present[:, self.ids]),
            margins=jnp.stack([scores.margins() for scores in results]),
            likelihoods=jnp.stack([scores.likelihoods() for scores in results]),
        )

    def forgotten(self, method: Unlearner, key: Key) -> Params:
        """The parameters after each model forgot its candidates and the rest of the request by `method`; stacked."""
        after = []
        for i, one in enumerate(self.runs()):
            request = np.union1d(self.ids[self.present[i, self.ids]], self.others)
            after.append(method.forget(one, None, request, jax.random.fold_in(key, i)).projected())
        return stacked(after)

    def runs(self) -> Sequence[Run]:
        """Each model as a run of its own, whose schedule masks the examples on which it is not trained."""
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
    run: Run,
    request: np.ndarray,
    lineup: Suspects,
    key: Key,
    count: int,
    *,
    progress: Progress | None = None,
    checkpoints: Keeper | None = None,
) -> Trained:
    """`count` shadow models (an even number), trained together by the run's recipe along its own schedule.

    Every model is trained on the run's present examples that are no candidates. It is also trained on half of the
    members and half of the other candidates; models 2j and 2j + 1 get complementary halves. Each model therefore has
    as many examples as the run, of the same classes. Each model has its own initial parameters. Each test candidate
    is added to the batches of one member. `progress` and `checkpoints` are as in `ensemble`.
    """
    run.need_history("shadow models")
    n, m = len(run.present), len(lineup.inside)
    data = _joined(run.problem.data, lineup.candidates[np.arange(m, 2 * m)])
    ids = np.append(lineup.inside, np.arange(n, n + m))
    rest = np.append(np.asarray(run.present), np.zeros(m, bool))
    rest[lineup.inside] = False
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
        schedule=_beside(run.schedule, lineup.inside, n),
        present=jnp.ones(len(data), bool),
    )
    params = ensemble(pool, present, starts=starts, progress=progress, checkpoints=checkpoints)
    others = np.setdiff1d(request, lineup.inside)
    return Trained(run=pool, suspects=lineup, present=present, starts=starts, params=params, ids=ids, others=others)


def _beside(schedule: Schedule, inside: np.ndarray, first: int) -> Schedule:
    """The schedule with example `first` + j added to every batch that contains `inside[j]`, at the same weight.

    The divisors do not change, because only half of all candidates are present in a model. In a sharded schedule the
    slots of a shard are extended as if they were a batch.
    """
    steps, shards = len(schedule), schedule.shards
    indices, weights = (np.asarray(a).reshape(steps * shards, -1) for a in (schedule.indices, schedule.weights))
    there = np.isin(indices, inside) & (weights != 0)
    more = np.zeros((len(indices), int(there.sum(axis=1).max(initial=0))), indices.dtype)
    if shards > 1:  # a slot of weight 0 of a shard holds an example of the shard
        more[:] = indices[:, :1]
    theirs = np.zeros(more.shape, weights.dtype)
    filled = np.arange(more.shape[1]) < there.sum(axis=1)[:, None]
    more[filled] = first + np.searchsorted(inside, indices[there])
    theirs[filled] = weights[there]
    wide = np.concatenate([indices, more], axis=1), np.concatenate([weights, theirs], axis=1)
    slots = [jnp.asarray(array.reshape(steps, -1)) for array in wide]
    return replace(schedule, indices=slots[0], weights=slots[1])


def _joined(a: Dataset, b: Dataset) -> Dataset:
    """The examples of `a` and then of `b`. If `a` has owners, each example of `b` gets an owner of its own."""
    x, y = (rowwise(end_to_end, p, q) for p, q in ((a.x, b.x), (a.y, b.y)))
    owners = None
    if a.owners is not None:
        owners = jnp.concatenate([jnp.asarray(a.owners), jnp.max(jnp.asarray(a.owners)) + 1 + jnp.arange(len(b))])
    return Dataset(x, y, owners, unchecked=a.unchecked)
