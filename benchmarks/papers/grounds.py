"""The data, problems and judges that the tables of both papers share."""

import os
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import certunl as cu
from certunl.attacks.update_difference import UpdateDifference
from certunl.membership.roc import judge
from certunl.membership.target import Target

__all__ = ["accuracy", "attacked_by_difference", "initialised", "load", "macro_f1", "shrunk", "subset"]

once = cache(jax.jit)  # equal initialisers compile once


@cache
def load(name: str, train: int | None = None, test: int | None = None) -> tuple[cu.Dataset, cu.Dataset]:
    """(train, test) of a data set, from the first folder or else from the second one.

    Raises: BadInput if it is in neither.
    """
    bounds = {key: value for key, value in (("train", train), ("test", test)) if value is not None}
    second = os.environ.get("CERTUNL_BENCHMARKS_DATA")
    try:
        return cu.datasets.load(name, **bounds)[:2]
    except cu.BadInput:
        if not second:
            raise
        return cu.datasets.load(name, data_dir=second, **bounds)[:2]


def subset(data: cu.Dataset, size: int, seed: int) -> cu.Dataset:
    """`size` examples by seed, in the order of the data."""
    return data[np.sort(np.random.default_rng(seed).choice(len(data), size, replace=False))]


def shrunk(data: cu.Dataset, factor: int) -> cu.Dataset:
    """The images averaged over blocks of `factor` x `factor` pixels."""
    if factor == 1:
        return data
    x = np.asarray(data.x)
    n, high, wide, channels = x.shape
    blocks = x.reshape(n, high // factor, factor, wide // factor, factor, channels)
    return cu.Dataset(blocks.mean((2, 4)).astype(x.dtype), data.y)


def initialised(problem: cu.Problem) -> cu.Problem:
    """`problem` whose start is drawn by one compiled program for all seeds."""
    return replace(problem, init=once(problem.init))


def macro_f1(problem: cu.Problem, params: Any, data: cu.Dataset) -> float:
    """The mean over classes of the harmonic mean of precision and recall. (Micro-F1 is the accuracy.)"""
    from sklearn.metrics import f1_score

    outputs: Any = problem.scores(params, jax.tree.map(jnp.asarray, data)).outputs
    classes = np.argmax(np.asarray(outputs), axis=-1)
    found: Any = f1_score(np.asarray(data.y), classes, average="macro")
    return float(found)


def accuracy(problem: cu.Problem, params: Any, data: cu.Dataset) -> float:
    correct: Any = problem.scores(params, jax.tree.map(jnp.asarray, data)).correct
    return float(np.mean(np.asarray(correct)))


def attacked_by_difference(run: cu.Run, request: Any, params: Any, test: cu.Dataset, key: Any) -> tuple[float, float]:
    """(accuracy, AUC) of the attack of Chen et al. 2021 on the forgotten examples among as many unseen ones.

    The attacker sees the original and the judged model and learns from half of the examples; the other half is scored.
    """
    pick_key, attack_key = jax.random.split(key)
    size = min(len(request), len(test))
    inside = run.problem.data[jnp.asarray(np.asarray(request)[:size])]
    outside = jax.tree.map(jnp.asarray, test[np.asarray(jax.random.permutation(pick_key, len(test))[:size])])
    candidates = cu.Dataset(jnp.concatenate([inside.x, outside.x]), jnp.concatenate([inside.y, outside.y]))
    member = jnp.arange(2 * size) < size
    before, after = (run.problem.scores(p, candidates) for p in (run.params, params))
    target = Target(run=run, params=params, candidates=candidates, member=member, original=before, scores=after)
    scores = UpdateDifference()(target, attack_key)
    scored, truth = ~np.isnan(scores), np.asarray(member)
    if not np.ptp(scores[scored]):
        return 0.5, 0.5
    return float(np.mean((scores[scored] > 0.5) == truth[scored])), judge(scores, member).auc
