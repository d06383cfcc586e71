"""Forgetting compared with many retrainings, for single examples (LeaveOneOut) and for many seeds (KLoM)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from certunl.base import Key, Params, Progress, nth, stacked, vector
from certunl.certificates.update import Unlearner
from certunl.errors import BadInput, Diverged
from certunl.metrics import correlations
from certunl.training.chunks import Keeper
from certunl.training.ensemble import ensemble, retrainings, seeds
from certunl.training.problem import Dataset
from certunl.training.run import Run
from certunl.training.schedule import Schedule

__all__ = ["LeaveOneOut", "klom", "klom_splits", "leave_one_out"]

_ROUNDING = 100
"""Rounding alone may move the parameters by this many units in the last place of their norm."""
_FEWEST = 10
"""The smallest number of models for which a divergence means something."""


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut:
    """The effect of forgetting single examples, as a method predicts it and as retraining gives it.

    Args:
        ids: the examples i32[k], each forgotten alone.
        predicted, true: f[k], the change of the example's own loss, by the method and by retraining.
        predicted_mean, true_mean: f[k], the change of the mean loss on the `data` of `leave_one_out`.
        relative_distance: f[k], the distance of the method to retraining, divided by that of doing nothing. NaN if
            retraining moves the parameters by rounding only; `correlations` leaves such an example out.
    """

    ids: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    predicted_mean: np.ndarray
    true_mean: np.ndarray
    relative_distance: np.ndarray

    def correlations(self) -> dict[str, float]:
        """Pearson's and Spearman's correlations of predicted with true changes; 1 is ideal, NaN if nothing changed."""
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
    """The LeaveOneOut of `ids`. Each is forgotten alone by `method` and by retraining; all retrainings run together.

    Args:
        run: the training run.
        method: the method to compare with retraining.
        ids: the examples to forget, at least three.
        key: the randomness of the method.
        data: the examples whose mean loss is predicted; default: the training data.
        prepared: the result of `method.prepare(run)`; without it the method repeats its preparation for every example.
        progress: called with the number of finished and of all retrainings.

    Raises: BadInput for fewer than three ids.
    """
    ids = run.check(ids)
    if len(ids) < 3:
        raise BadInput(f"a correlation needs at least three examples left out in turn, got {len(ids)}")
    watched: Dataset = run.problem.data if data is None else run.problem.admit(data, "data")
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
        # a ratio of two rounding errors would be a number without meaning
        moved = nothing > _ROUNDING * np.finfo(jax.tree.leaves(real)[0].dtype).eps * np.linalg.norm(goal)
        distances.append(np.linalg.norm(vector(update) - goal) / nothing if moved else np.nan)
    changes = {name: np.array(values) for name, values in columns.items()}
    return LeaveOneOut(ids=ids, relative_distance=np.array(distances), **changes)


def klom(unlearned: Any, oracle: Any, *, bins: int = 20) -> np.ndarray:
    """KL(unlearned || oracle) f[m], the divergence between two distributions of the margin of each of m examples.

    Each distribution is a histogram over the common range, with 1e-5 added to each bin. The ideal value is 0; about
    11.5 means that the histograms do not overlap. Sampling noise alone gives about 5 at N = 20 and 0.7 at N = 100 (95th
    percentile), so compare with other retrained models (the row `retrain` of `klom_splits`).

    Args:
        unlearned: the margins f[N, m] of N unlearned models.
        oracle: the margins f[N, m] of N retrained models.
        bins: number of bins of a histogram, at least 2.

    Source: Georgiev et al. 2024 (KLoM).  Raises: BadInput for other shapes and for margins that are not finite.
    """
    pair = [np.asarray(a, np.float64) for a in (unlearned, oracle)]
    if any(a.ndim != 2 or a.shape[1] != pair[0].shape[1] or len(a) < 2 for a in pair) or bins < 2:
        shapes = [list(a.shape) for a in pair]
        raise BadInput(f"margins must be f[N, m] with the same m, N >= 2 and bins >= 2, got {shapes} and {bins} bins")
    if not all(np.isfinite(a).all() for a in pair):
        raise BadInput("margins must be finite; leave out models whose outputs are not (see Scores.margins)")
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
    checkpoints: Keeper | None = None,
) -> dict[str, dict[str, float]]:
    """{method: {"klom_forget", "klom_retain", "klom_test"}}, 95th percentiles of `klom` over the examples of a split.

    N models are trained by the run's recipe, each with its own initial parameters and batches. Each method makes each
    of them forget `request`. The oracle is N retrained models of other seeds. The row `retrain` compares it with N
    retrained models of the same seeds; no method can be expected to do better. A method that fails on one of the models
    has NaN.

    Args:
        run: the training run; its recipe and data are used.
        methods: the methods by name.
        request: the ids to forget.
        test: the examples of the split "test"; of this split and of "retain" only the first 1,000 are used.
        keys: one key for each of the N models, at least ten. The tables of `compare` call fewer than 100 few.
        progress: called with the number of finished and of all models, for each of the three ensembles.
        checkpoints: `Checkpoints(folder)`, which keeps the models that are trained. Default: none.

    Raises: BadInput for fewer than ten keys.
    """
    if len(keys) < _FEWEST:
        raise BadInput(f"at least {_FEWEST} keys are needed, one for each model, got {len(keys)}")
    request = run.check(request)
    triples = [jax.random.split(key, 3) for key in keys]
    retained = np.asarray(run.retained(request))
    present, without = (np.repeat(a[None], len(triples), axis=0) for a in (np.asarray(run.present), retained))
    starts, schedules = seeds(run, [triple[0] for triple in triples])
    oracle_starts, oracle_schedules = seeds(run, [triple[1] for triple in triples])

    def many(name: str, here: np.ndarray, starts: Params, schedules: Schedule) -> Params:
        states = checkpoints and checkpoints.within(name)
        return ensemble(run, here, starts=starts, schedules=schedules, progress=progress, checkpoints=states)

    trained = many("trained", present, starts, schedules)
    models = {"retrain": many("retrained", without, starts, schedules)}
    oracle = many("oracle", without, oracle_starts, oracle_schedules)
    for name, method in methods.items():
        unlearned = []
        for i, triple in enumerate(triples):
            start, schedule, params = (nth(many, i) for many in (starts, schedules, trained))
            one = replace(run, start=start, schedule=schedule, params=params)
            try:
                unlearned.append(method.forget(one, None, request, triple[2]).projected())
            except (BadInput, Diverged):
                break
        if len(unlearned) == len(triples):
            models[name] = stacked(unlearned)
    test = run.problem.admit(test)
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
