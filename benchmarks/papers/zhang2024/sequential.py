"""Ten requests one after another."""

from functools import cache
from typing import Any

import jax
import numpy as np

import certunl as cu
from benchmarks.papers.table import Column, Job, Row, Statement, Table, holds, mean, select
from benchmarks.papers.zhang2024.grounds import GROUNDS, Ground, as_published, described, house, trained
from benchmarks.papers.zhang2024.methods import judged
from benchmarks.papers.zhang2024.sizes import GROUND, UTILITY

__all__ = ["SEQUENTIAL"]

REQUESTS = 10


def sequential_jobs(scale: str) -> list[Job]:
    ground = GROUNDS[scale][GROUND]
    size = ground.forgotten // REQUESTS
    methods = {"newton, as published": as_published(ground), "newton, ours": house()}
    return [
        Job(
            f"{REQUESTS} requests of {size}, {name}",
            described(ground, 42) | {"requests": REQUESTS, "size": size, "method": repr(method)},
            lambda name=name, method=method: _sequential(ground, size, name, method),
        )
        for name, method in methods.items()
    ]


def _sequential(ground: Ground, size: int, name: str, method: Any) -> list[Row]:
    """After each request the model, attacked on all examples forgotten so far."""
    at = trained(ground, 42)
    state, rows = at.run, []
    for number, request in enumerate(cu.requests.stream(at.judge_key, at.run, [size] * REQUESTS), start=1):
        update = method.forget(state, None, request, jax.random.fold_in(at.forget_key, number))
        state = state.minus(request, update.projected())
        gone = np.flatnonzero(~np.asarray(state.present))
        truth = _without(ground, tuple(gone.tolist()))
        row = judged(at, state.params, truth, gone) | {"method": name, "requests": number}
        rows.append(row | {"seconds": update.cost["seconds"]})
        if name == "newton, as published":
            rows.append(judged(at, truth.projected(), truth, gone) | {"method": "retrain", "requests": number})
    return rows


@cache
def _without(ground: Ground, gone: tuple[int, ...]) -> cu.Update:
    """Retraining without `gone`, which the sequences of all methods share."""
    at = trained(ground, 42)
    return cu.Retrain().forget(at.run, None, gone, at.forget_key)


def sequential_statements(rows: list[Row]) -> list[Statement]:
    first, last = (mean(rows, "test_accuracy", method="newton, as published", requests=n) for n in (1, REQUESTS))
    auc = mean(rows, "attack_auc", method="newton, as published", requests=REQUESTS)
    truth = mean(rows, "attack_auc", method="retrain", requests=REQUESTS)
    return [
        Statement(
            "the accuracy stays over ten requests of the paper's own training",
            "-",
            f"{first:.4f} after one, {last:.4f} after ten",
            holds(abs(first - last) <= 0.02, first, last),
            "counted up to two points",
        ),
        Statement(
            "after ten requests the attack tells the forgotten no better than after retraining",
            "-",
            f"AUC {auc:.3f}, retrained {truth:.3f}",
            holds(auc <= truth + 0.02, auc, truth),
            "counted up to 0.02",
        ),
    ]


def draw_sequential(rows: list[Row], figure: Any) -> None:
    left, right = figure.subplots(1, 2)
    for name in dict.fromkeys(row["method"] for row in rows):
        here = select(rows, method=name)
        steps = [row["requests"] for row in here]
        left.plot(steps, [row["test_accuracy"][0] for row in here], "o-", label=name)
        right.plot(steps, [row["attack_auc"][0] for row in here], "o-", label=name)
    left.set(xlabel="requests", ylabel="test accuracy")
    right.set(xlabel="requests", ylabel="attack AUC")
    left.legend(fontsize=6)


SEQUENTIAL = Table(
    name="sequential",
    title="Ten requests one after another",
    stands_for=(
        "The paper's study of sequential unlearning, ten requests of 100 on MNIST with its own training. The model is "
        "attacked on all examples forgotten so far. The state is projected after each step and never noised."
    ),
    jobs=sequential_jobs,
    by=("method", "requests"),
    columns=(*UTILITY, Column("seconds", "seconds", tolerance=None)),
    statements=sequential_statements,
    draw=draw_sequential,
)
