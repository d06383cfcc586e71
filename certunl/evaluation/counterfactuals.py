"""Forgetting held against many retrainings: each example left out in turn, and models of many seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key, Params, Progress, nth, stacked, vector
from certunl.certificates.update import Unlearner
from certunl.errors import BadInput, Diverged
from certunl.metrics import correlations
from certunl.training.ensemble import ensemble, retrainings, seeds
from certunl.training.problem import Dataset
from certunl.training.run import Run

__all__ = ["LeaveOneOut", "klom", "klom_splits", "leave_one_out"]

_ROUNDING = 100
"""How many units in the last place of the parameters' norm two ways of rounding one training may be apart."""
_FEWEST = 10
"""With fewer models than this a divergence says nothing."""


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut:
    """For each of `ids i32[k]`, forgotten alone: the change of its own loss, `predicted f[k]` by the method and `true`
    by retraining, and of the mean loss on the data asked about (`predicted_mean`, `true_mean`); `relative_distance`
    f[k] to retraining, doing nothing being 1 (NaN, and not in the correlations, where retraining moves by rounding)."""

    ids: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    predicted_mean: np.ndarray
    true_mean: np.ndarray
    relative_distance: np.ndarray

    def correlations(self) -> dict[str, float]:
        """Pearson's and Spearman's correlations of predicted with true changes (1 is ideal; NaN: nothing changed)."""
        moved = ~np.isnan(self.relative_distance)
        result: dict[str, float] = {}
        for name, pair in (("own", (self.predicted, self.true)), ("mean", (self.predicted_mean, self.true_mean))):
            result[f"{name}_pearson"], result[f"{name}_spearman"] = correlations(*(a[moved] for a in pair))
        return result


def leave_one_out(
    run: Run,
    method: Unlearner,
    ids: Any,
    key: Key,
    *,
    data: Dataset | None = None,
    prepared: Any = None,
    progress: Progress | None = None,
) -> LeaveOneOut:
    """Forgets each of `ids` alone, by `method` and by retraining (all retrainings at once).

    `data` (default: the training data) are those whose mean loss is watched. `prepared` spares a method its
    preparation for every one. Raises: BadInput for fewer than three ids.
    """
    ids = run.check(ids)
    if len(ids) < 3:
        raise BadInput(f"a correlation needs at least three examples left out in turn, got {len(ids)}")
    watched: Dataset = run.problem.data if data is None else jax.tree.map(jnp.asarray, data)
    truth = retrainings(run, ids[:, None], progress=progress)
    before = _losses(run, run.params, watched).mean()
    columns: dict[str, list[float]] = {"predicted": [], "true": [], "predicted_mean": [], "true_mean": []}
    distances = []
    for i, one in enumerate(ids):
        update = method.forget(run, prepared, ids[i : i + 1], jax.random.fold_in(key, i)).projected()
        real = nth(truth, i)
        alone = run.problem.data[np.array([one])]
        for name, params in (("predicted", update), ("true", real)):
            columns[name].append((_losses(run, params, alone) - _losses(run, run.params, alone))[0])
            columns[f"{name}_mean"].append(_losses(run, params, watched).mean() - before)
        goal = vector(real)
        nothing = np.linalg.norm(vector(run.params) - goal)
        told = nothing > _ROUNDING * np.finfo(jax.tree.leaves(real)[0].dtype).eps * np.linalg.norm(goal)
        distances.append(np.linalg.norm(vector(update) - goal) / nothing if told else np.nan)
    found = {name: np.array(values) for name, values in columns.items()}
    return LeaveOneOut(ids=ids, relative_distance=np.array(distances), **found)


def klom(unlearned: Any, oracle: Any, *, bins: int = 20) -> np.ndarray:
    """f[m]: for each example the divergence KL(unlearned || oracle) of the laws of its margin, from margins f[N, m] of
    N unlearned and N retrained models: histograms over the range of both, 1e-5 in each bin. 0 is ideal, and about 11.5
    where they do not touch; two samples of one law are apart too (at N = 20 by 5, the 95th percentile): hold it against
    other retrained models.

    Source: Georgiev et al. 2024 (KLoM).  Raises: BadInput for other shapes and for margins that are not finite.
    """
    pair = [np.asarray(a, np.float64) for a in (unlearned, oracle)]
    if any(a.ndim != 2 or a.shape[1] != pair[0].shape[1] or len(a) < 2 for a in pair) or bins < 2:
        raise BadInput(f"margins are f[N, m] of one m and N of at least 2, got {[list(a.shape) for a in pair]}")
    if not all(np.isfinite(a).all() for a in pair):
        raise BadInput("margins must be finite: a model that gives no number has none (see Scores.margins)")
    low = np.minimum(*(a.min(axis=0) for a in pair))
    width = np.maximum(*(a.max(axis=0) for a in pair)) - low
    share = []
    for a in pair:
        place = np.minimum((bins * (a - low) / np.where(width > 0, width, 1)).astype(int), bins - 1)
        counts = (place[:, :, None] == np.arange(bins)).sum(axis=0) / len(a) + 1e-5
        share.append(counts / counts.sum(axis=1, keepdims=True))
    return np.sum(share[0] * np.log(share[0] / share[1]), axis=1)


def klom_splits(
    run: Run,
    methods: Mapping[str, Unlearner],
    request: Any,
    test: Dataset,
    keys: Sequence[Key],
    *,
    progress: Progress | None = None,
) -> dict[str, dict[str, float]]:
    """{method: {"klom_forget", "klom_retain", "klom_test"}}, 95th percentiles over the examples of each split (of at
    most 1,000 retained and test ones), from N models for N `keys`: each trained by the run's recipe from initial
    parameters and batches of its own, then made to forget `request`. The oracle are N retrained models of other seeds;
    «retrain» is how far retrained models of these seeds are from it, which no method can be expected to beat. A method
    that cannot forget from one of the models has NaN.
    Raises: BadInput for fewer than ten keys, which tell nothing.
    """
    if len(keys) < _FEWEST:
        raise BadInput(f"the law of a margin takes {_FEWEST} models of each kind at least, got {len(keys)}")
    request = run.check(request)
    drawn = [jax.random.split(key, 3) for key in keys]
    retained = np.asarray(run.retained(request))
    with_it, without = (np.repeat(a[None], len(drawn), axis=0) for a in (np.asarray(run.present), retained))
    starts, schedules = seeds(run, [pair[0] for pair in drawn])
    again, others = seeds(run, [pair[1] for pair in drawn])
    trained = ensemble(run, with_it, starts=starts, schedules=schedules, progress=progress)
    models = {"retrain": ensemble(run, without, starts=starts, schedules=schedules, progress=progress)}
    oracle = ensemble(run, without, starts=again, schedules=others, progress=progress)
    for name, method in methods.items():
        after = []
        for i, pair in enumerate(drawn):
            start, schedule, params = (nth(many, i) for many in (starts, schedules, trained))
            one = replace(run, start=start, schedule=schedule, params=params)
            try:
                after.append(method.forget(one, None, request, pair[2]).projected())
            except (BadInput, Diverged):
                break
        if len(after) == len(drawn):
            models[name] = stacked(after)
    test = jax.tree.map(jnp.asarray, test)
    splits = {"forget": run.problem.data[request], "retain": run.problem.data[np.flatnonzero(retained)[:1000]]}
    splits["test"] = test[np.arange(min(len(test), 1000))]
    result = {name: {f"klom_{split}": float("nan") for split in splits} for name in (*methods, "retrain")}
    for split, data in splits.items():
        truth = _margins(run, oracle, data)
        for name, params in models.items():
            divergence = klom(_margins(run, params, data), truth)
            result[name][f"klom_{split}"] = float(np.percentile(divergence, 95))
    return result


def _margins(run: Run, models: Params, data: Dataset) -> np.ndarray:
    count = len(jax.tree.leaves(models)[0])
    return np.stack([np.asarray(run.problem.scores(nth(models, i), data).margins()) for i in range(count)])


def _losses(run: Run, params: Params, data: Dataset) -> np.ndarray:
    return np.asarray(run.problem.scores(params, data).losses, np.float64)
